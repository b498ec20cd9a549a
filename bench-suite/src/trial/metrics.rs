//! What the server's `/metrics` says: OpenMetrics text, read as far as trials need it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for the admin address.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest text.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// The samples of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Asks `address` for them.
    ///
    /// # Errors
    /// What the system says; an answer other than 200.
    pub fn read(address: SocketAddr) -> io::Result<Metrics> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        if !head.starts_with("HTTP/1.1 200 ") {
            let line = head.lines().next().unwrap_or("nothing");
            return Err(io::Error::other(format!("/metrics was answered: {line}")));
        }
        Ok(Metrics::parse(body))
    }

    /// Reads the text; lines that are no samples are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Metrics {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (key, rest) = match line.rsplit_once('}') {
                    Some((key, rest)) => (key, rest.trim_start()),
                    None => line.split_once(' ')?,
                };
                let value = rest.split(' ').next()?.parse().ok()?;
                Some((key.to_owned(), value))
            });
        Metrics(samples.collect())
    }

    /// The sum of all samples of this name that have this label; of all of the name where the label is empty.
    #[must_use]
    pub fn sum(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let of_name =
            |key: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        let samples = self.0.iter().filter(|(key, _)| of_name(key));
        samples
            .filter(|(key, _)| label.is_empty() || key.contains(&wanted))
            .map(|(_, value)| value)
            .sum()
    }

    /// Seconds that runs had the core of each of `shards` shards.
    #[must_use]
    pub fn busy_seconds(&self, shards: usize) -> Vec<f64> {
        let of = |shard: usize| self.sum("luge_busy_seconds_total", "shard", &shard.to_string());
        (0..shards).map(of).collect()
    }

    /// Connections that shard 0 has accepted.
    #[must_use]
    pub fn accepted_by_first(&self) -> f64 {
        self.sum("luge_connections_accepted_total", "shard", "0")
    }

    /// CPU time of the runs of a function, in seconds.
    #[must_use]
    pub fn cpu_seconds(&self, function: &str) -> f64 {
        self.sum("luge_function_cpu_seconds_total", "function", function)
    }

    /// Requests of a function that were answered, with whatever status.
    #[must_use]
    pub fn requests(&self, function: &str) -> f64 {
        self.sum("luge_function_requests_total", "function", function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_label() {
        let metrics = Metrics::parse(
            "# TYPE luge_busy_seconds counter\n\
             luge_busy_seconds_total{shard=\"0\"} 1.5\n\
             luge_busy_seconds_total{shard=\"1\"} 0.25 1700000000\n\
             luge_function_requests_total{function=\"a b\",class=\"2xx\"} 10\n\
             luge_function_requests_total{function=\"a b\",class=\"5xx\"} 2\n\
             luge_log_lines_dropped_total 3\n\
             # EOF\n",
        );
        assert_eq!(metrics.busy_seconds(2), [1.5, 0.25]);
        assert_eq!(metrics.requests("a b"), 12.0);
        assert_eq!(metrics.sum("luge_log_lines_dropped_total", "", ""), 3.0);
        assert_eq!(metrics.sum("luge_busy_seconds", "", ""), 0.0);
        assert_eq!(metrics.cpu_seconds("a"), 0.0);
    }
}
