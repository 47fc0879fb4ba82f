//! File names as Go's `strconv.Quote` writes them, which is how restic keeps names that are not UTF-8.

use super::gojson::hex_digit;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The name in Go's quoting, without the quotes around it. `None` when it stands as it is, which nearly all
/// do.
pub(super) fn quote(name: &[u8]) -> Option<Vec<u8>> {
    if name.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        return None;
    }
    let mut out = Vec::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            character(&mut out, c);
        }
        for byte in chunk.invalid() {
            escape(&mut out, b'x', u32::from(*byte), 2);
        }
    }
    Some(out)
}

fn character(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{7}' => b'a',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{b}' => b'v',
        _ if is_print(c) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
        _ => {
            let code = u32::from(c);
            match code {
                0..0x20 | 0x7f => escape(out, b'x', code, 2),
                0x80..0x1_0000 => escape(out, b'u', code, 4),
                _ => escape(out, b'U', code, 8),
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn escape(out: &mut Vec<u8>, letter: u8, code: u32, digits: u32) {
    out.extend_from_slice(&[b'\\', letter]);
    for place in (0..digits).rev() {
        out.push(hex_digit(code >> (4 * place)));
    }
}

/// Go's `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_print(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    c == ' '
        || matches!(
            c.general_category_group(),
            Group::Letter | Group::Mark | Group::Number | Group::Punctuation | Group::Symbol
        )
}

/// Go's `strconv.Unquote` of a name without the quotes around it; `None` when the quoting is broken.
pub(super) fn unquote(text: &str) -> Option<Vec<u8>> {
    if !text.contains(['\\', '"', '\n']) {
        return Some(text.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        if c == '"' || c == '\n' {
            return None;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = rest.chars().next()?;
        rest = rest.get(kind.len_utf8()..)?;
        match kind {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '"' => out.push(u8::try_from(kind).ok()?),
            'x' => {
                out.push(u8::try_from(number(&mut rest, 2, 16)?).ok()?);
            }
            'u' | 'U' => {
                let code = number(&mut rest, if kind == 'u' { 4 } else { 8 }, 16)?;
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            }
            '0'..='7' => {
                let high = kind.to_digit(8)?;
                out.push(u8::try_from(high * 64 + number(&mut rest, 2, 8)?).ok()?);
            }
            _ => return None,
        }
    }
    Some(out)
}

fn number(rest: &mut &str, digits: usize, radix: u32) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    if !head.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(head, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(name: &[u8]) -> String {
        String::from_utf8(quote(name).unwrap_or_else(|| name.to_vec())).unwrap()
    }

    #[test]
    fn as_go_quotes() {
        assert_eq!(text(b"plain name's"), "plain name's");
        assert_eq!(text(b"a\"b\\c\n\x01\x7f\xff"), r#"a\"b\\c\n\x01\x7f\xff"#);
        assert_eq!(
            text("é\u{a0}\u{200b}\u{1f600}\u{e0001}\u{fffd}".as_bytes()),
            "é\\u00a0\\u200b😀\\U000e0001\u{fffd}"
        );
        assert_eq!(unquote("\\101\\u00e9").unwrap(), "Aé".as_bytes());
        for bad in ["\\", "\\x4", "\\q", "a\"b", "\\ud800", "\\x+1"] {
            assert!(unquote(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unquote(&text(&name)).unwrap(), name);
        }
    }
}
