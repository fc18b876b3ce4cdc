//! Arguments and answers as bytes, in uniffi's serialised form.

use std::sync::Arc;

use jni::EnvUnowned;
use jni::errors::ThrowRuntimeExAndDefault;
use jni::objects::JByteArray;
use jni::sys::jlong;
use uniffi::{Lift, Lower};

use crate::UniFfiTag;
use crate::error::{Answer, NativeError, guard};

/// The arguments of a call, read one after the other.
pub struct Arguments<'a>(&'a [u8]);

impl Arguments<'_> {
    /// The next argument.
    pub fn value<T: Lift<UniFfiTag>>(&mut self) -> Answer<T> {
        T::try_read(&mut self.0)
            .map_err(|error| NativeError::invalid(format!("the arguments of the call can't be read: {error}")))
    }

    /// The next argument, which is an object.
    ///
    /// # Safety
    /// It is 0, or the handle of a living object of this type.
    pub unsafe fn object<'a, T>(&mut self) -> Answer<&'a T> {
        let handle = self.value::<i64>()?;
        // SAFETY: the caller's promise.
        unsafe { this(handle) }
    }
}

/// The object of a call.
///
/// # Safety
/// The handle is 0, or that of a living object of this type.
pub unsafe fn this<'a, T>(handle: jlong) -> Answer<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { (handle as usize as *const T).as_ref() }
        .ok_or_else(|| NativeError::invalid("the object of the call is closed"))
}

/// An object as its handle, which is to be freed.
pub fn handle<T>(object: Arc<T>) -> i64 {
    Arc::into_raw(object) as usize as i64
}

/// Frees an object.
///
/// # Safety
/// 0, or what [`handle`] gave, once.
pub unsafe fn free<T>(handle: jlong) {
    let freed = guard(|| {
        if handle != 0 {
            // SAFETY: the caller's promise.
            drop(unsafe { Arc::from_raw(handle as usize as *const T) });
        }
        Ok(())
    });
    // A destructor that panicked has said so on standard error: there is nobody to tell.
    drop(freed);
}

/// What an answer is written as.
pub trait Written {
    fn write(self, bytes: &mut Vec<u8>);
}

/// A value of uniffi's.
pub struct Value<T>(pub T);

impl<T: Lower<UniFfiTag>> Written for Value<T> {
    fn write(self, bytes: &mut Vec<u8>) {
        T::write(self.0, bytes);
    }
}

/// Nothing: the call worked.
impl Written for () {
    fn write(self, _bytes: &mut Vec<u8>) {}
}

/// Carries out a call: one byte, 0 or 1, and the answer or the error behind it. Java gets an exception only when it has no memory left.
pub fn call<'local, R: Written>(
    mut env: EnvUnowned<'local>,
    arguments: JByteArray<'local>,
    work: impl FnOnce(&mut Arguments<'_>) -> Answer<R>,
) -> JByteArray<'local> {
    let answer = env.with_env(|env| {
        let arguments = env.convert_byte_array(&arguments)?;
        let answer = guard(|| {
            let mut bytes = vec![0];
            work(&mut Arguments(&arguments))?.write(&mut bytes);
            Ok(bytes)
        });
        let bytes = answer.unwrap_or_else(|error| {
            let mut bytes = vec![1];
            <NativeError as Lower<UniFfiTag>>::write(error, &mut bytes);
            bytes
        });
        env.byte_array_from_slice(&bytes)
    });
    // Null where that failed; the exception is pending.
    answer.resolve::<ThrowRuntimeExAndDefault>()
}
