//! Durations and sizes as the manifest writes them: a whole number and its unit, `"100ms"`, `"64MiB"`.
//!
//! A bare number is refused on purpose: nobody who reads `deadline = 100` a year later knows whether it was
//! milliseconds. Fractions are refused too, because `"1500ms"` says the same without rounding.

use std::time::Duration;

/// The longest duration that a manifest may ask for. Longer ones are typing errors, and the bound keeps every
/// later `Instant + Duration` from overflowing.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses `"250us"`, `"100ms"`, `"2s"`, `"5min"` or `"1h"`: positive, at most [`DURATION_MAX`].
/// `None` when the text is anything else.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let micros_per_unit: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    let duration = Duration::from_micros(number.checked_mul(micros_per_unit)?);
    (!duration.is_zero() && duration <= DURATION_MAX).then_some(duration)
}

/// Parses `"512B"`, `"64KiB"`, `"8MiB"`, `"1GiB"` (powers of 1024) or `"64kB"`, `"8MB"`, `"1GB"` (powers of 1000)
/// to bytes. `None` when the text is anything else. Zero is a size.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let bytes_per_unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(bytes_per_unit)
}

/// The leading decimal digits and what follows them, one optional space apart.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("2 s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_duration("5min"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("24h"), Some(DURATION_MAX));
        for wrong in [
            "",
            "100",
            "ms",
            "0ms",
            "-1s",
            "1.5s",
            "25h",
            "1S",
            "1 s ",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("0B"), Some(0));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("64 MiB"), Some(64 << 20));
        assert_eq!(parse_size("2GiB"), Some(2 << 30));
        assert_eq!(parse_size("64kB"), Some(64_000));
        assert_eq!(parse_size("3MB"), Some(3_000_000));
        for wrong in [
            "",
            "64",
            "KiB",
            "64K",
            "64kib",
            "-1B",
            "1.5MiB",
            "18446744073709551615KiB",
        ] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }
}
