//! The public hash, for whoever buckets elsewhere and wants to compare.

use evenhand_core::bucket;
use napi_derive::napi;

#[napi(object)]
pub struct Bucket {
    pub h: u32,
    pub basis_point: u32,
    pub slot: u32,
}

/// Hashes a unit id, as text, under a salt.
#[napi(catch_unwind)]
pub fn bucket_of(salt: String, unit: String) -> Bucket {
    let h = bucket::hash(&salt, &unit);
    Bucket {
        h,
        basis_point: u32::from(bucket::basis_point(h)),
        slot: u32::from(bucket::slot(h)),
    }
}
