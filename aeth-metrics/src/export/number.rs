//! Numbers as the text formats write them.

use std::fmt::{Result, Write};

/// Nanoseconds as seconds, exactly.
pub(super) fn nanoseconds(out: &mut String, value: u64) -> Result {
    let (seconds, rest) = (value / 1_000_000_000, value % 1_000_000_000);
    if rest == 0 {
        return write!(out, "{seconds}.0");
    }
    let digits = format!("{rest:09}");
    write!(out, "{seconds}.{}", digits.trim_end_matches('0'))
}

/// A floating-point number.
pub(super) fn float(out: &mut String, value: f64) -> Result {
    if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        write!(out, "{value:?}")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nanoseconds_are_written_exactly() {
        let text = |value| {
            let mut out = String::new();
            super::nanoseconds(&mut out, value).unwrap();
            out
        };
        assert_eq!(text(0), "0.0");
        assert_eq!(text(1), "0.000000001");
        assert_eq!(text(1_500_000_000), "1.5");
        assert_eq!(text(u64::MAX), "18446744073.709551615");
    }
}
