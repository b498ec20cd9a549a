//! Durations as people write them: `250us`, `100ms`, `2s`, `1.5s`, `5min`, the units of the server's manifest.

use std::time::Duration;

/// Longest duration that is accepted: a day.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads a number and its unit (`ns`, `us`, `ms`, `s`, `min`). `None` for anything else, for a number without a unit (it does
/// not say what it counts) and for more than a day.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let seconds_each = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let duration = Duration::try_from_secs_f64(number * seconds_each).ok()?;
    (duration <= DURATION_MAX).then_some(duration)
}

/// Nanoseconds with three digits and a unit that suits them: `873ns`, `12.3us`, `100ms`, `2.50s`.
#[must_use]
pub fn duration_text(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds}ns"),
        1_000..999_500 => (value / 1e3, "us"),
        999_500..999_500_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    if value < 9.995 {
        format!("{value:.2}{unit}")
    } else if value < 99.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_an_end() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(parse_duration("2min"), Some(Duration::from_secs(120)));
        for wrong in [
            "", "5", "s", "-1s", "1h", "1 s", "1e3s", "1..2s", "1441min", "\u{b5}s",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_show_three_digits() {
        let shown: Vec<_> = [
            0,
            873,
            1_000,
            12_345,
            999_499,
            999_500,
            100_000_000,
            2_500_000_000,
        ]
        .map(duration_text)
        .into();
        assert_eq!(
            shown,
            [
                "0ns", "873ns", "1.00us", "12.3us", "999us", "1.00ms", "100ms", "2.50s"
            ]
        );
    }
}
