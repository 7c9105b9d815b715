//! Numbers as mbuffer reads them: C's `strtod` and `strtol` with whatever follows ignored or refused as it does.
//!
//! In: the bytes of an option's value or of a line in a configuration file. Out: the number, or the message that
//! mbuffer prints for it. Nothing here panics, on any bytes; what makes mbuffer crash is refused with a message.

/// Why a value is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The run ends here with this message.
    Fatal(String),
    /// The message is printed, the option is ignored, the run goes on and ends with status 1.
    Error(String),
    /// As [`Refusal::Error`], for a `-v`, which counts from the start of the run.
    Level(String),
    /// The message is printed and the option is ignored.
    Warning(String),
}

/// A size: bytes, or a percentage of the physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Bytes, at least 1.
    Bytes(u64),
    /// Percent of the machine's memory, 1 to 89.
    Percent(u8),
}

/// The longest decimal prefix of `text` that C's `strtod` takes, with the rest; `None` if there is no number.
fn strtod(text: &[u8]) -> Option<(f64, &[u8])> {
    let start = text.iter().position(|byte| !is_c_space(*byte))?;
    let mut at = start;
    let negative = text[at] == b'-';
    if negative || text[at] == b'+' {
        at += 1;
    }
    let sign = if negative { -1.0 } else { 1.0 };
    let rest = &text[at..];
    if rest.len() > 2 && rest[0] == b'0' && (rest[1] | 0x20) == b'x' && rest[2].is_ascii_hexdigit() {
        let digits = rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let value = rest[2..2 + digits].iter().fold(0.0, |sum, byte| sum * 16.0 + f64::from(hex_digit(*byte)));
        return Some((sign * value, &rest[2 + digits..]));
    }
    let (length, digits) = decimal_length(rest);
    if digits == 0 {
        return None;
    }
    let number = std::str::from_utf8(&rest[..length]).ok()?.parse::<f64>().ok()?;
    Some((sign * number, &rest[length..]))
}

/// How many bytes of `text` are one decimal number with fraction and exponent, and how many of them are digits.
fn decimal_length(text: &[u8]) -> (usize, usize) {
    let run = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = run(0);
    let mut at = whole;
    let mut digits = whole;
    if text.get(at) == Some(&b'.') {
        let fraction = run(at + 1);
        if whole + fraction > 0 {
            at += 1 + fraction;
            digits += fraction;
        }
    }
    if digits > 0 && matches!(text.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        if at + 1 + signed < text.len() {
            let exponent = run(at + 1 + signed);
            if exponent > 0 {
                at += 1 + signed + exponent;
            }
        }
    }
    (at, digits)
}

fn is_c_space(byte: u8) -> bool {
    byte == b' ' || (9..=13).contains(&byte)
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// C's `strtol` with base 0: decimal, `0x` hexadecimal, leading `0` octal; the tail is ignored. Text without digits
/// is 0, what does not fit stays at the edge of the range.
pub fn count(text: &[u8]) -> i64 {
    let Some(start) = text.iter().position(|byte| !is_c_space(*byte)) else { return 0 };
    let negative = text[start] == b'-';
    let rest = &text[start + usize::from(negative || text[start] == b'+')..];
    let (base, digits) = match rest {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &rest[2..]),
        [b'0', ..] => (8, rest),
        _ => (10, rest),
    };
    let mut value: i64 = 0;
    for byte in digits.iter().take_while(|byte| byte.is_ascii_hexdigit() && hex_digit(**byte) < base) {
        value = value.saturating_mul(i64::from(base)).saturating_add(i64::from(hex_digit(*byte)));
    }
    if negative { -value } else { value }
}

/// A number in a configuration file or of `-P` and `-p`: what follows it is ignored.
pub fn float(text: &[u8]) -> Option<f64> {
    strtod(text).map(|(value, _)| value).filter(|value| value.is_finite())
}

/// A size or rate as an option takes it; `option` is how it was typed.
///
/// Numbers of 100 and less without a suffix are refused: nobody means bytes by them.
pub fn size(option: &str, text: &[u8]) -> Result<Size, Refusal> {
    let size = parse_size(option, text)?;
    let bare = strtod(text).is_some_and(|(_, rest)| rest.is_empty());
    match size {
        Size::Bytes(bytes) if bare && bytes <= 100 => {
            Err(Refusal::Fatal(format!("invalid low value for option \"{option}\" - missing suffix?")))
        }
        size => Ok(size),
    }
}

/// A size as a configuration file takes it: like [`size`], and small numbers are bytes.
pub fn parse_size(option: &str, text: &[u8]) -> Result<Size, Refusal> {
    let shown = String::from_utf8_lossy(text);
    let Some((number, rest)) = strtod(text) else {
        if text.iter().all(|byte| is_c_space(*byte)) || is_nan_or_infinite(text) {
            return Err(Refusal::Fatal(format!("invalid argument \"{shown}\" for option \"{option}\"")));
        }
        return Err(Refusal::Error(format!("unrecognized argument \"{shown}\" for option \"{option}\"")));
    };
    if number <= 0.0 {
        return Err(Refusal::Fatal("invalid argument - must be > 0".into()));
    }
    let shift = match rest.first().map(u8::to_ascii_lowercase) {
        None => 0,
        Some(b'%') => return percent(option, &shown, number),
        Some(b'b') if number < 128.0 => return Err(Refusal::Fatal("invalid value for number of bytes".into())),
        Some(b'b') => 0,
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        Some(_) => {
            let tail = String::from_utf8_lossy(rest);
            let first = tail.chars().next().unwrap_or(' ');
            return Err(Refusal::Fatal(format!("unrecognized size character \"{first}\" for option \"{option}\"")));
        }
    };
    let bytes = number * (1u64 << shift) as f64;
    if bytes < 1.0 || bytes >= i64::MAX as f64 {
        return Err(Refusal::Fatal(format!("invalid argument \"{shown}\" for option \"{option}\"")));
    }
    Ok(Size::Bytes(bytes as u64))
}

fn percent(option: &str, shown: &str, number: f64) -> Result<Size, Refusal> {
    if number >= 90.0 {
        return Err(Refusal::Fatal("invalid value for percentage (must be 0..90)".into()));
    }
    match number as u8 {
        0 => Err(Refusal::Fatal(format!("invalid argument \"{shown}\" for option \"{option}\""))),
        percent => Ok(Size::Percent(percent)),
    }
}

fn is_nan_or_infinite(text: &[u8]) -> bool {
    let word = text.trim_ascii().to_ascii_lowercase();
    let word = word.strip_prefix(b"-").or(word.strip_prefix(b"+")).unwrap_or(&word);
    word.starts_with(b"nan") || word.starts_with(b"inf")
}

/// A time with its unit, in milliseconds; without a unit it is milliseconds already. A negative one is 0, which means
/// never. What is wrong if it is none.
pub fn milliseconds(text: &[u8]) -> Result<u64, &'static str> {
    let (number, rest) = strtod(text).ok_or("time argument")?;
    let unit = rest.trim_ascii().to_ascii_lowercase();
    let factor = match unit.as_slice() {
        b"" | b"ms" | b"msec" => 1.0,
        b"us" | b"usec" => 0.001,
        b"s" | b"sec" => 1e3,
        b"m" | b"min" => 60e3,
        b"h" => 3600e3,
        _ => return Err("time dimension in argument"),
    };
    let milliseconds = number * factor;
    // The kernel keeps socket time-outs in jiffies of a signed long: a century is surely enough, and surely fits.
    let fits = milliseconds <= 3.2e12;
    fits.then_some(milliseconds.ceil().max(0.0) as u64).ok_or("time argument")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        match size("-s", text.as_bytes()) {
            Ok(Size::Bytes(bytes)) => bytes,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn fatal(text: &str) -> String {
        match size("-s", text.as_bytes()) {
            Err(Refusal::Fatal(message)) => message,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn sizes_are_strtod_numbers_with_a_suffix_and_any_tail() {
        let rows = [
            ("101", 101),
            ("128b", 128),
            ("1.5M", 3 << 19),
            (".5M", 1 << 19),
            ("1e6", 1_000_000),
            ("0x1000", 4096),
            (" 128k", 128 << 10),
            ("128kB", 128 << 10),
            ("10k5", 10 << 10),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("+2m", 2 << 20),
        ];
        for (text, expected) in rows {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert_eq!(size("-m", b"25%"), Ok(Size::Percent(25)));
        assert_eq!(size("-m", b"1.5%"), Ok(Size::Percent(1)));
    }

    #[test]
    fn refusals_are_mbuffers() {
        let rows = [
            ("0", "invalid argument - must be > 0"),
            ("-5k", "invalid argument - must be > 0"),
            ("100", "invalid low value for option \"-s\" - missing suffix?"),
            ("127b", "invalid value for number of bytes"),
            ("1,5M", "unrecognized size character \",\" for option \"-s\""),
            ("128 k", "unrecognized size character \" \" for option \"-s\""),
            ("90%", "invalid value for percentage (must be 0..90)"),
            ("", "invalid argument \"\" for option \"-s\""),
            ("inf", "invalid argument \"inf\" for option \"-s\""),
            ("0.5%", "invalid argument \"0.5%\" for option \"-s\""),
            ("1e30", "invalid argument \"1e30\" for option \"-s\""),
        ];
        for (text, expected) in rows {
            assert_eq!(fatal(text), expected, "{text}");
        }
        let unknown = "unrecognized argument \"abc\" for option \"-s\"";
        assert_eq!(size("-s", b"abc"), Err(Refusal::Error(unknown.into())));
    }

    #[test]
    fn counts_are_strtol_numbers_of_base_0() {
        let rows = [("0x10", 16), ("010", 8), ("10k", 10), ("1s", 1), ("0.5", 0), ("abc", 0), ("-5", -5), ("", 0)];
        for (text, expected) in rows {
            assert_eq!(count(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(count(b"99999999999999999999"), i64::MAX);
    }

    #[test]
    fn times_have_units_and_milliseconds_have_none() {
        let rows: [(&str, Option<u64>); 10] = [
            ("250", Some(250)),
            ("3sec", Some(3000)),
            ("2 s", Some(2000)),
            ("1min", Some(60_000)),
            ("500us", Some(1)),
            ("0", Some(0)),
            ("3days", None),
            ("-1", Some(0)),
            ("-3 min", Some(0)),
            ("1e300", None),
        ];
        for (text, expected) in rows {
            assert_eq!(milliseconds(text.as_bytes()).ok(), expected, "{text}");
        }
    }
}
