//! The public hash, for whoever buckets elsewhere and wants to compare.

use evenhand_core::bucket;

use crate::guard::{get_mut, guard};
use crate::status::Status;
use crate::text::text;

/// Where a unit falls under a salt.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The whole hash.
    pub h: u32,
    /// 0 to 9999: the hash in ten-thousandths.
    pub basis_point: u16,
    /// 0 to 9999: the layer's slot.
    pub slot: u16,
}

/// Hashes a unit id, as text, under a salt.
///
/// # Safety
/// `salt_len` bytes can be read at `salt` and `unit_len` at `unit`; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_bucket(
    salt: *const u8,
    salt_len: usize,
    unit: *const u8,
    unit_len: usize,
    out: *mut Bucket,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (salt, unit, out) = unsafe { (text(salt, salt_len)?, text(unit, unit_len)?, get_mut(out)?) };
        let h = bucket::hash(salt, unit);
        *out = Bucket {
            h,
            basis_point: bucket::basis_point(h),
            slot: bucket::slot(h),
        };
        Ok(())
    })
}
