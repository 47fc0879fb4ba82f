//! What may be a key.

use aeth_core::Key;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A value that can be the key of a cache entry.
///
/// A key shows its bytes without allocating: text and bytes as they are, integers in decimal, tuples as their
/// parts joined by `:` (a `:` or `\` inside a part is escaped by `\`, so that no two tuples share bytes). The
/// lower tiers store these very bytes, so that they stay readable with the tools of the engine
/// (`user:42` in `redis-cli`). Keys hold 1 to 512 bytes; others are refused with `Invalid`.
///
/// A cache does not know which type a key had: `42` and `"42"` are the same key.
///
/// A type of the host's own delegates:
///
/// ```
/// use aeth_cache::CacheKey;
///
/// struct UserId(u64);
///
/// impl CacheKey for UserId {
///     fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
///         ("user", self.0).with_bytes(visit)
///     }
/// }
/// assert!(UserId(42).with_bytes(|bytes| bytes == b"user:42"));
/// ```
pub trait CacheKey: Sync {
    /// Shows the bytes to `visit`, once.
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R;
}

macro_rules! as_bytes {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
                let bytes: &[u8] = self.as_ref();
                visit(bytes)
            }
        }
    )*};
}

as_bytes!(str, String, [u8], Vec<u8>, Bytes, Key);

impl CacheKey for Box<str> {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        visit(self.as_bytes())
    }
}

impl CacheKey for Arc<str> {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        visit(self.as_bytes())
    }
}

impl CacheKey for Cow<'_, str> {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        visit(self.as_bytes())
    }
}

/// The bytes of an identifier such as a UUID, as they are.
impl<const N: usize> CacheKey for [u8; N] {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        visit(self)
    }
}

impl<T: CacheKey + ?Sized> CacheKey for &T {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        (**self).with_bytes(visit)
    }
}

/// The decimal digits of `number`, written to the end of `digits`; gives where they begin.
fn decimal(mut number: u128, digits: &mut [u8; 40]) -> usize {
    let mut start = digits.len();
    loop {
        start -= 1;
        // A remainder of ten is one digit.
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return start;
        }
    }
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
                let mut digits = [0; 20];
                let (mut start, mut number) = (digits.len(), *self);
                loop {
                    start -= 1;
                    digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
                    number /= 10;
                    if number == 0 {
                        return visit(&digits[start..]);
                    }
                }
            }
        }
    )*};
}

macro_rules! signed {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
                let mut digits = [0; 40];
                let mut start = decimal(u128::from(self.unsigned_abs()), &mut digits);
                if *self < 0 {
                    start -= 1;
                    digits[start] = b'-';
                }
                visit(&digits[start..])
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, usize);
signed!(i8, i16, i32, i64, i128);

impl CacheKey for u128 {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        let mut digits = [0; 40];
        let start = decimal(*self, &mut digits);
        visit(&digits[start..])
    }
}

impl CacheKey for isize {
    fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
        i64::try_from(*self).unwrap_or_default().with_bytes(visit)
    }
}

/// A buffer on the stack, one byte longer than a key may be, so that an overlong key still shows as overlong.
struct Joined {
    bytes: [u8; Key::MAX_LEN + 1],
    length: usize,
}

impl Joined {
    fn new() -> Self {
        Self { bytes: [0; Key::MAX_LEN + 1], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    fn part(&mut self, first: bool, part: &(impl CacheKey + ?Sized)) {
        if !first {
            self.push(b':');
        }
        part.with_bytes(|bytes| {
            for byte in bytes {
                if matches!(byte, b':' | b'\\') {
                    self.push(b'\\');
                }
                self.push(*byte);
            }
        });
    }
}

macro_rules! tuple {
    ($first:ident $(, $rest:ident)*) => {
        impl<$first: CacheKey, $($rest: CacheKey),*> CacheKey for ($first, $($rest,)*) {
            fn with_bytes<R>(&self, visit: impl FnOnce(&[u8]) -> R) -> R {
                #[allow(non_snake_case, reason = "the macro names values after their types")]
                let ($first, $($rest,)*) = self;
                let mut joined = Joined::new();
                joined.part(true, $first);
                $(joined.part(false, $rest);)*
                visit(&joined.bytes[..joined.length])
            }
        }
    };
}

tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(key: impl CacheKey) -> String {
        key.with_bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    #[test]
    fn integers_show_in_decimal() {
        assert_eq!(shown(0_u8), "0");
        assert_eq!(shown(u64::MAX), u64::MAX.to_string());
        assert_eq!(shown(u128::MAX), u128::MAX.to_string());
        assert_eq!(shown(i64::MIN), i64::MIN.to_string());
        assert_eq!(shown(i128::MIN), i128::MIN.to_string());
        assert_eq!(shown(-1_isize), "-1");
    }

    #[test]
    fn tuples_never_share_bytes() {
        assert_eq!(shown(("a", 7_u32)), "a:7");
        assert_eq!(shown(("a:b", "c")), r"a\:b:c");
        assert_ne!(shown(("a", "b:c")), shown(("a:b", "c")));
        assert_ne!(shown(("a\\", "b")), shown(("a", "\\b")));
        assert_eq!(shown(("x".repeat(600), 1_u8)).len(), Key::MAX_LEN + 1);
    }
}
