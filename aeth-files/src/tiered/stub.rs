//! What stands in the hot tier for a blob that was moved.
//!
//! A stub is a blob of exactly [`STUB_LEN`] bytes of text for people, with one attribute, [`ATTRIBUTE`], that says
//! where the bytes are: `1 <tier> <size> <written, ms since 1970> <CRC-64/NVME, hex> <place, percent-encoded>`. All other
//! attributes, and the tags, are those of the blob itself.

use aeth_core::blob::{Attributes, BlobMeta, Checksum};
use aeth_core::{BlobPath, Error, Result};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of the attribute.
pub(super) const ATTRIBUTE: &str = "aeth-tier";

/// The length of every stub: unlike that of most blobs, so that a listing need not look at each entry.
pub(super) const STUB_LEN: u64 = 4_093;

/// The longest place that fits into the attributes of every engine, encoded.
const LONGEST: usize = 1_024;

/// Where the bytes of a blob are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stub {
    pub(super) tier: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) crc: u64,
    pub(super) place: BlobPath,
}

impl Stub {
    /// The stub that a blob is, if it is one; its metadata then becomes that of the blob that was moved.
    ///
    /// # Errors
    /// `Corrupt` for a stub that cannot be read.
    pub(super) fn take(meta: &mut BlobMeta) -> Result<Option<Self>> {
        let Some(attributes) = &mut meta.attributes else { return Ok(None) };
        let Some(text) = attributes.user.remove(ATTRIBUTE) else { return Ok(None) };
        let stub = Self::parse(&text).ok_or_else(|| {
            Error::corrupt("the note that says where the blob was moved to cannot be read")
                .with_component("tiered")
                .with_key(&meta.path)
                .with_remedy("restore the blob, or put it again")
        })?;
        meta.size = stub.size;
        meta.modified = stub.modified;
        meta.checksum = Some(Checksum::Crc64Nvme(stub.crc));
        meta.version = None;
        Ok(Some(stub))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        if fields.next()? != "1" {
            return None;
        }
        let tier = fields.next()?.to_owned();
        let size = fields.next()?.parse().ok()?;
        let millis = fields.next()?.parse().ok()?;
        let crc = u64::from_str_radix(fields.next()?, 16).ok()?;
        let place = decode(fields.next()?)?;
        let modified = UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
        fields.next().is_none().then_some(Self { tier, size, modified, crc, place })
    }

    /// The attributes of the stub of a blob with these.
    pub(super) fn attributes(&self, of: &Attributes) -> Result<Attributes> {
        let millis = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let place = encode(&self.place);
        if place.len() > LONGEST {
            return Err(too_long(&self.place));
        }
        let text = format!("1 {} {} {millis} {:x} {place}", self.tier, self.size, self.crc);
        Ok(of.clone().with_user(ATTRIBUTE, text))
    }

    /// The text of the stub.
    pub(super) fn body(&self) -> String {
        let mut text = format!(
            "This is a note of the tiered layer of aeth-files, version 1.\nThe {} bytes that belong here were moved to \
             the tier {:?};\nits attribute `{ATTRIBUTE}` says where they are there. Read it through the layer.\n",
            self.size, self.tier
        );
        let length = usize::try_from(STUB_LEN).unwrap_or(usize::MAX);
        text.truncate(length);
        while text.len() < length {
            text.push('\n');
        }
        text
    }
}

/// The length of the id of a set of tiers, by which its places are told from those of others in the same store.
pub(super) const SET_LEN: usize = 8;

/// A fresh place for the bytes of a blob: its path, so that people find it, the id of the set of tiers, and something of
/// its own, so that a state that was moved is never written over.
pub(super) fn fresh_place(set: &str, path: &BlobPath) -> Result<BlobPath> {
    let place = BlobPath::new(format!("{path}~{set}{}", crate::random::hex::<8>()?));
    place.map_err(|error| too_long(path).with_source(error))
}

fn too_long(path: &BlobPath) -> Error {
    Error::unsupported("the path is too long for a blob that is moved to another tier")
        .with_component("tiered")
        .with_key(path)
        .with_remedy("keep it in the first tier by a rule, or rename it")
}

/// The blob that a place of this set was made for.
pub(super) fn belongs_to(set: &str, place: &BlobPath) -> Option<BlobPath> {
    let (path, id) = place.as_str().rsplit_once('~')?;
    let own = id.strip_prefix(set).filter(|own| own.len() == 16)?;
    let is_id = set.len() == SET_LEN && own.bytes().all(|byte| byte.is_ascii_hexdigit());
    BlobPath::new(path).ok().filter(|_| is_id)
}

/// Visible ASCII, as every engine's attributes keep it.
fn encode(place: &BlobPath) -> String {
    let mut text = String::with_capacity(place.as_str().len());
    for byte in place.as_str().bytes() {
        match byte {
            b'%' | b' ' | b'"' | b'\\' => {}
            0x21..=0x7e => {
                text.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        // Writing into a string cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
    text
}

fn decode(text: &str) -> Option<BlobPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let code = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        rest = rest.get(2..)?;
    }
    BlobPath::new(String::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(place: &str) -> Stub {
        Stub {
            tier: "cold".into(),
            size: 1 << 40,
            modified: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            crc: 0xabc,
            place: BlobPath::new(place).unwrap(),
        }
    }

    #[test]
    fn notes_come_back() {
        for place in ["a~0011223344556677", "ä b/%41\"\\\n\u{7f}~0011223344556677"] {
            let of = Attributes::default().with_content_type("text/plain").with_user("a", "b");
            let attributes = stub(place).attributes(&of).unwrap();
            assert!(attributes.user[ATTRIBUTE].bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            let mut meta = BlobMeta::new(BlobPath::new("a").unwrap(), STUB_LEN, UNIX_EPOCH);
            meta.attributes = Some(attributes);
            assert_eq!(Stub::take(&mut meta).unwrap().unwrap(), stub(place));
            assert_eq!((meta.size, meta.attributes), (1 << 40, Some(of)));
            assert_eq!(stub(place).body().len() as u64, STUB_LEN);
        }
        assert!(stub(&"ä".repeat(500)).attributes(&Attributes::default()).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        for text in
            ["", "2 cold 1 1 1 a", "1 cold 1 1 1", "1 cold x 1 1 a", "1 cold 1 1 1 a%4", "1 cold 1 1 1 a b"]
        {
            let mut meta = BlobMeta::new(BlobPath::new("a").unwrap(), STUB_LEN, UNIX_EPOCH);
            meta.attributes = Some(Attributes::default().with_user(ATTRIBUTE, text));
            assert_eq!(Stub::take(&mut meta).unwrap_err().kind(), aeth_core::ErrorKind::Corrupt, "{text:?}");
        }
    }

    #[test]
    fn places_are_fresh_and_know_their_blob() {
        let path = BlobPath::new("a/b~c").unwrap();
        let (one, two) = (fresh_place("00112233", &path).unwrap(), fresh_place("00112233", &path).unwrap());
        assert!(one != two && belongs_to("00112233", &one).unwrap() == path);
        assert!(belongs_to("00112234", &one).is_none());
        assert!(belongs_to("00112233", &BlobPath::new("a~b").unwrap()).is_none());
    }
}
