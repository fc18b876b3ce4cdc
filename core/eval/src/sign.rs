//! Ed25519 keys, what is signed with them, and the canonical form (RFC 8785) of what is signed.

pub mod base64url;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Serialize;

/// What a signature is for: its bytes come before the message, so that a signature made for one use is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The `signed` member of a manifest's envelope.
    Manifest,
    /// The payload of an override token.
    Override,
    /// What a node of a deployment needs of an environment, as one of its nodes hands it to another. SDKs never see one.
    Bundle,
}

impl Purpose {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"evenhand-manifest-v1\n",
            Self::Override => b"evenhand-override-v1\n",
            Self::Bundle => b"evenhand-bundle-v1\n",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), bytes].concat()
    }
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text is not base64url without padding of 32 bytes.
    Text,
    /// The bytes are no point of the curve.
    NotAPoint,
    /// A point of small order: everybody can sign for it.
    Weak,
}

impl core::fmt::Display for KeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Text => {
                "the key is not 43 characters of base64url without padding: copy it whole from the environment's keys"
            }
            Self::NotAPoint => "the bytes are no Ed25519 public key: copy it again from the environment's keys",
            Self::Weak => "the key is of small order, so its signatures prove nothing: make a new key pair",
        })
    }
}

impl core::error::Error for KeyError {}

/// A private key. Only a publisher holds one.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From 32 bytes that the caller drew from its system's source of randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key that goes with it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `bytes` for one purpose; base64url.
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> String {
        base64url::encode(&self.0.sign(&purpose.message(bytes)).to_bytes())
    }
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecretKey(of {})", self.public().to_text())
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From its 32 bytes. Weak keys are refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            Err(KeyError::Weak)
        } else {
            Ok(Self(key))
        }
    }

    /// From base64url of its 32 bytes.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let bytes = base64url::decode(text).ok_or(KeyError::Text)?;
        Self::from_bytes(&<[u8; 32]>::try_from(bytes).map_err(|_| KeyError::Text)?)
    }

    /// Its 32 bytes in base64url.
    pub fn to_text(&self) -> String {
        base64url::encode(self.0.as_bytes())
    }

    /// Whether `signature` (base64url) is this key's over `bytes` for this purpose. Strict: of all the encodings that
    /// looser verifiers accept, only the one that signing produces.
    pub fn verify(&self, purpose: Purpose, bytes: &[u8], signature: &str) -> bool {
        let signature = base64url::decode(signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(&purpose.message(bytes), &signature).is_ok())
    }
}

/// The public keys an application was given, by key id. More than one while keys are being changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(String, PublicKey)>);

impl KeySet {
    /// No keys: nothing verifies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, replacing one of that id.
    pub fn insert(&mut self, key_id: &str, key: PublicKey) -> &mut Self {
        self.0.retain(|(id, _)| id != key_id);
        self.0.push((key_id.to_owned(), key));
        self
    }

    /// [`KeySet::insert`] for a chain of calls.
    #[must_use]
    pub fn with(mut self, key_id: &str, key: PublicKey) -> Self {
        self.insert(key_id, key);
        self
    }

    /// The key of that id.
    pub fn get(&self, key_id: &str) -> Option<&PublicKey> {
        self.0.iter().find(|(id, _)| id == key_id).map(|(_, key)| key)
    }

    /// Ids and keys, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().map(|(id, key)| (id.as_str(), key))
    }
}

/// The RFC 8785 form of a value: the bytes that are hashed and signed, and by which JSON values are compared.
///
/// An error says that the value has no such form: a number beyond the doubles, or a map whose keys are no text.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    /// RFC 8032, section 7.1, test 1: the key pair; and that the message is prefix ++ bytes.
    #[test]
    fn keys_of_rfc_8032() {
        let secret = SecretKey::from_seed(&bytes(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ));
        let public: [u8; 32] = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(secret.public(), PublicKey::from_bytes(&public).unwrap());
        assert_eq!(secret.public().to_text(), base64url::encode(&public));
        assert_eq!(PublicKey::from_text(&secret.public().to_text()), Ok(secret.public()));
        // What anybody else's Ed25519 says of prefix ++ bytes (plain dalek here, as no Purpose is involved).
        let plain = SigningKey::from_bytes(&bytes(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ));
        assert_eq!(
            secret.sign(Purpose::Manifest, b"x"),
            base64url::encode(&plain.sign(b"evenhand-manifest-v1\nx").to_bytes())
        );
    }

    #[test]
    fn a_signature_is_for_one_key_one_purpose_one_message() {
        let key = SecretKey::from_seed(&[7; 32]);
        let signature = key.sign(Purpose::Manifest, b"message");
        let public = key.public();
        assert!(public.verify(Purpose::Manifest, b"message", &signature));
        assert!(!public.verify(Purpose::Override, b"message", &signature));
        assert!(!public.verify(Purpose::Manifest, b"message ", &signature));
        assert!(
            !SecretKey::from_seed(&[8; 32])
                .public()
                .verify(Purpose::Manifest, b"message", &signature)
        );
        for broken in [
            "",
            "A",
            &signature[1..],
            &format!("{signature}A"),
            &format!("{signature}=="),
        ] {
            assert!(!public.verify(Purpose::Manifest, b"message", broken), "{broken:?}");
        }
    }

    /// s + L verifies in lax implementations (RFC 8032 requires s < L): a second signature of the same message.
    #[test]
    fn a_malleated_signature_is_refused() {
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let key = SecretKey::from_seed(&[7; 32]);
        let mut signature = base64url::decode(&key.sign(Purpose::Override, b"m")).unwrap();
        let mut carry = 0u16;
        for (byte, add) in signature[32..].iter_mut().zip(L) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(
            !key.public()
                .verify(Purpose::Override, b"m", &base64url::encode(&signature))
        );
    }

    #[test]
    fn keys_that_prove_nothing_are_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(&identity), Err(KeyError::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyError::Weak));
        let mut off_curve = [0u8; 32];
        off_curve[0] = 2;
        assert_eq!(PublicKey::from_bytes(&off_curve), Err(KeyError::NotAPoint));
        assert_eq!(PublicKey::from_text("AAAA"), Err(KeyError::Text));
        assert_eq!(PublicKey::from_text("not base64"), Err(KeyError::Text));
    }

    /// RFC 8785: section 3.2.2's sample, appendix B's numbers, section 3.2.3's order by UTF-16 units.
    #[test]
    fn canonical_form() {
        let form = |json: &str| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            String::from_utf8(canonical(&value).unwrap()).unwrap()
        };
        assert_eq!(
            form(
                r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#
            ),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(
            form("[-0.0, 9007199254740991, 1e21, 5e-324, 1.0]"),
            "[0,9007199254740991,1e+21,5e-324,1]"
        );
        assert_eq!(
            form("{\"\\ufb33\":1,\"\\ud83d\\ude00\":2,\"\\u20ac\":3,\"1\":4,\"\\u0080\":5,\"\\r\":6,\"\\u00f6\":7}"),
            "{\"\\r\":6,\"1\":4,\"\u{80}\":5,\"ö\":7,\"€\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }
}
