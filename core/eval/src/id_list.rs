//! Id lists: a million ids in one content-addressed blob, eight bytes each (`docs/contract/manifest.md`, "Id lists").

use std::sync::Arc;

use crate::digest::{SaltedHash, sha256_hex};
use crate::unit::MAX_UNIT_BYTES;

/// The first bytes of every blob.
const MAGIC: &[u8; 8] = b"EHLIST01";
/// Magic and count.
const HEADER_BYTES: usize = 16;
/// Bytes of one id.
const ID_BYTES: usize = 8;

/// Turns unit ids into the integers that a list of one salt stores.
#[derive(Clone, Debug)]
pub struct IdHasher(SaltedHash);

impl IdHasher {
    /// Prepares the list's salt.
    pub fn new(salt: &str) -> Self {
        Self(SaltedHash::new(salt))
    }

    /// The integer of a unit id.
    #[inline]
    pub fn hash(&self, unit_id: &str) -> u64 {
        self.0.first8(unit_id)
    }
}

/// Collects unit ids and writes the blob.
#[derive(Clone, Debug)]
pub struct IdListBuilder {
    hasher: IdHasher,
    hashes: Vec<u64>,
}

/// A finished blob, and what a manifest says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdListBlob {
    /// The bytes to store and to serve.
    pub bytes: Vec<u8>,
    /// Their SHA-256 in lower-case hex: the blob's address.
    pub sha256: String,
    /// How many ids it holds. Ids whose integers are equal are one.
    pub count: u64,
}

impl IdListBuilder {
    /// A list under `salt` (1 to 64 of `[A-Za-z0-9_-]`; the manifest's compile step checks it).
    pub fn new(salt: &str) -> Self {
        Self {
            hasher: IdHasher::new(salt),
            hashes: Vec::new(),
        }
    }

    /// Adds a unit id as text (a number in decimal). An id that no context can ever have is refused.
    pub fn add(&mut self, unit_id: &str) -> Result<(), IdListError> {
        if unit_id.is_empty() || unit_id.len() > MAX_UNIT_BYTES {
            return Err(IdListError::NotAUnit { bytes: unit_id.len() });
        }
        self.hashes.push(self.hasher.hash(unit_id));
        Ok(())
    }

    /// Sorts, drops duplicates, and writes the blob. The order in which ids were added can't be seen.
    pub fn build(mut self) -> IdListBlob {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let count = self.hashes.len() as u64;
        let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_add(self.hashes.len().saturating_mul(ID_BYTES)));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&count.to_le_bytes());
        for hash in &self.hashes {
            bytes.extend_from_slice(&hash.to_be_bytes());
        }
        let sha256 = sha256_hex(&bytes);
        IdListBlob { bytes, sha256, count }
    }
}

/// Why a blob, or an id for one, was refused. A refused blob counts as not supplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdListError {
    /// The id is empty or too long to be a unit id.
    NotAUnit {
        /// Its length.
        bytes: usize,
    },
    /// The bytes don't begin as a list does.
    NotAList,
    /// The size does not fit the count.
    Size {
        /// The count in the blob.
        count: u64,
        /// The bytes there are.
        bytes: usize,
    },
    /// The blob holds another number of ids than the manifest says.
    Count {
        /// In the manifest.
        expected: u64,
        /// In the blob.
        found: u64,
    },
    /// Ids are not strictly ascending.
    Order {
        /// The first id, counted from 0, that is not above the one before it.
        index: usize,
    },
    /// The bytes are not those the manifest names.
    Sha256 {
        /// In the manifest.
        expected: String,
        /// Of the bytes.
        found: String,
    },
}

impl core::fmt::Display for IdListError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotAUnit { bytes } => {
                write!(f, "an id of {bytes} bytes is no unit id: give each as non-empty text of at most {MAX_UNIT_BYTES} bytes")
            }
            Self::NotAList => f.write_str("the bytes are no id list (they don't begin with EHLIST01 and a count): supply the blob as it was published"),
            Self::Size { count, bytes } => {
                write!(f, "an id list of {count} ids can't have {bytes} bytes: it was cut or padded; fetch it again")
            }
            Self::Count { expected, found } => {
                write!(f, "the manifest names an id list of {expected} ids, the blob holds {found}: supply the blob the manifest names")
            }
            Self::Order { index } => write!(f, "id {index} of the list is not above the one before it: build the blob again, sorted and without duplicates"),
            Self::Sha256 { expected, found } => {
                write!(f, "the id list's SHA-256 is {found}, the manifest names {expected}: fetch it again from that address")
            }
        }
    }
}

impl core::error::Error for IdListError {}

/// A verified blob. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct IdList {
    bytes: Arc<[u8]>,
    sha256: Arc<str>,
    count: usize,
}

impl IdList {
    /// Opens a blob that the manifest describes with `sha256` and `count`.
    pub fn open(bytes: Arc<[u8]>, sha256: &str, count: u64) -> Result<Self, IdListError> {
        let list = Self::open_any(bytes)?;
        if *list.sha256 != *sha256 {
            return Err(IdListError::Sha256 {
                expected: sha256.to_owned(),
                found: String::from(&*list.sha256),
            });
        }
        if list.len() != count {
            return Err(IdListError::Count {
                expected: count,
                found: list.len(),
            });
        }
        Ok(list)
    }

    /// Opens a blob before it is known which manifest names it: checks size, count and order, and works out its address.
    pub fn open_any(bytes: Arc<[u8]>) -> Result<Self, IdListError> {
        let header = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<8>());
        let (count_bytes, ids) = header.ok_or(IdListError::NotAList)?;
        let count = u64::from_le_bytes(*count_bytes);
        if count.checked_mul(ID_BYTES as u64) != Some(ids.len() as u64) {
            return Err(IdListError::Size {
                count,
                bytes: bytes.len(),
            });
        }
        let mut before: Option<u64> = None;
        for (index, chunk) in ids.chunks_exact(ID_BYTES).enumerate() {
            let id = chunk.first_chunk::<8>().map(|id| u64::from_be_bytes(*id));
            if id <= before {
                return Err(IdListError::Order { index });
            }
            before = id;
        }
        let count = ids.len() / ID_BYTES;
        let sha256 = sha256_hex(&bytes).into();
        Ok(Self { bytes, sha256, count })
    }

    /// The blob's SHA-256 in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many ids it holds.
    pub fn len(&self) -> u64 {
        self.count as u64
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it holds the id with this integer (see [`IdHasher`]).
    ///
    /// Integers are evenly spread, so the place is guessed from the value and found a few steps from there; a blob made to
    /// defeat the guess costs a binary search.
    pub fn contains(&self, hash: u64) -> bool {
        let guess = ((u128::from(hash)).wrapping_mul(self.count as u128) >> 64) as usize;
        // Invariant: what lies below `low` is less than the hash, what lies at or above `high` is greater.
        let (mut low, mut high) = (0usize, self.count);
        let mut at = guess;
        let mut step = 8usize;
        while low < high {
            let Some(id) = self.get(at) else {
                return false;
            };
            if id == hash {
                return true;
            }
            if id < hash {
                low = at.saturating_add(1);
                at = low.saturating_add(step);
            } else {
                high = at;
                at = high.saturating_sub(step);
            }
            // Steps double, so both bounds soon enclose the place, and then it is halved.
            step = step.saturating_mul(2);
            if at < low || at >= high || step > 4_096 {
                at = low.midpoint(high);
            }
        }
        false
    }

    #[inline]
    fn get(&self, index: usize) -> Option<u64> {
        let start = index.checked_mul(ID_BYTES)?.checked_add(HEADER_BYTES)?;
        self.bytes
            .get(start..)?
            .first_chunk::<8>()
            .map(|id| u64::from_be_bytes(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn build(salt: &str, ids: impl IntoIterator<Item = String>) -> IdListBlob {
        let mut builder = IdListBuilder::new(salt);
        for id in ids {
            builder.add(&id).unwrap();
        }
        builder.build()
    }

    fn blob(hashes: &[u64]) -> Vec<u8> {
        let mut bytes = b"EHLIST01".to_vec();
        bytes.extend((hashes.len() as u64).to_le_bytes());
        bytes.extend(hashes.iter().flat_map(|h| h.to_be_bytes()));
        bytes
    }

    /// Written by Python: `struct` and `hashlib` over the page's description, salt `list-1`, ids `a`, `user-42`, `日本`.
    #[test]
    fn bytes_as_described() {
        let blob = build("list-1", ["user-42", "a", "日本", "a"].map(String::from));
        assert_eq!(crate::digest::hex(&blob.bytes), PYTHON_BLOB);
        assert_eq!(blob.sha256, PYTHON_SHA256);
        assert_eq!(blob.count, 3);
    }
    const PYTHON_BLOB: &str = "45484c4953543031030000000000000055012ae26a6ee815678c6e9c7ae531779fa55f898266853d";
    const PYTHON_SHA256: &str = "cada2f613f6cb16367483cfd6d3e60b43e946c699ce3c64ea087000a99d3eae4";

    #[test]
    fn a_million_ids_take_eight_bytes_each_and_are_found() {
        let list = build("s", (0..1_000_000).map(|i| format!("user-{i}")));
        assert!(list.bytes.len() < 1_000_000 * 8 + 17);
        let list = IdList::open(list.bytes.into(), &list.sha256, list.count).unwrap();
        let hasher = IdHasher::new("s");
        assert!(
            (0..1_000_000)
                .step_by(97)
                .all(|i| list.contains(hasher.hash(&format!("user-{i}"))))
        );
        assert!((1_000_000..1_010_000).all(|i| !list.contains(hasher.hash(&format!("user-{i}")))));
    }

    #[test]
    fn refused() {
        let good = build("s", ["a", "b"].map(String::from));
        let open = |bytes: &[u8]| IdList::open(bytes.into(), &good.sha256, 2).map(|list| list.len());
        assert_eq!(open(&good.bytes), Ok(2));
        assert_eq!(open(b""), Err(IdListError::NotAList));
        assert_eq!(open(&good.bytes[..15]), Err(IdListError::NotAList));
        assert_eq!(
            open(&[b"EHLIST02", &good.bytes[8..]].concat()),
            Err(IdListError::NotAList)
        );
        assert_eq!(open(&good.bytes[..31]), Err(IdListError::Size { count: 2, bytes: 31 }));
        assert_eq!(
            open(&[&good.bytes[..], b"x"].concat()),
            Err(IdListError::Size { count: 2, bytes: 33 })
        );
        let huge = [b"EHLIST01".as_slice(), &(1u64 << 61).to_le_bytes()].concat();
        assert_eq!(
            open(&huge),
            Err(IdListError::Size {
                count: 1 << 61,
                bytes: 16
            })
        );
        assert_eq!(open(&blob(&[5, 5])), Err(IdListError::Order { index: 1 }));
        assert_eq!(open(&blob(&[5, 6, 4])), Err(IdListError::Order { index: 2 }));
        assert!(matches!(open(&blob(&[5, 6])), Err(IdListError::Sha256 { .. })));
        assert_eq!(
            IdList::open(good.bytes.clone().into(), &good.sha256, 3).map(|_| ()),
            Err(IdListError::Count { expected: 3, found: 2 })
        );
        let mut builder = IdListBuilder::new("s");
        assert_eq!(builder.add(""), Err(IdListError::NotAUnit { bytes: 0 }));
        assert!(builder.add(&"x".repeat(4_096)).is_ok());
        assert_eq!(
            builder.add(&"x".repeat(4_097)),
            Err(IdListError::NotAUnit { bytes: 4_097 })
        );
        let empty = IdListBuilder::new("s").build();
        assert!(!IdList::open(empty.bytes.into(), &empty.sha256, 0).unwrap().contains(0));
    }

    proptest! {
        /// Oracle: a set. Half of the lists are clustered, to defeat the guess.
        #[test]
        fn contains_what_a_set_contains(
            ids in prop::collection::btree_set(prop_oneof![0u64..200, any::<u64>(), (u64::MAX - 200)..=u64::MAX], 0..300),
            asked in prop::collection::vec(prop_oneof![0u64..220, any::<u64>(), (u64::MAX - 220)..=u64::MAX], 50),
        ) {
            let ids: BTreeSet<u64> = ids;
            let list = IdList::open_any(blob(&ids.iter().copied().collect::<Vec<_>>()).into()).unwrap();
            for hash in asked.iter().chain(&ids) {
                prop_assert_eq!(list.contains(*hash), ids.contains(hash));
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64), magic: bool) {
            let bytes = if magic { [b"EHLIST01".as_slice(), &bytes].concat() } else { bytes };
            if let Ok(list) = IdList::open_any(bytes.into()) {
                list.contains(7);
            }
        }
    }
}
