//! The calls on the path of every decision, on Node-API itself. For each object that crosses, napi-rs looks up its class in one
//! hash map and counts its borrows in another, behind locks: half of what a decision would cost. Here only numbers cross: an object
//! is its place in a table of this thread, and a number that is no place finds nothing.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::catch_unwind;
use std::ptr;
use std::rc::Rc;
use std::thread::LocalKey;

use evenhand_session::Session;
use napi::bindgen_prelude::{Object, Result};
use napi::{Callback, Env, sys};
use napi_derive::napi;

use crate::session::decide;
use crate::snapshot::{Bound, Compiled, evaluate, number};

/// Values by place.
pub struct Table<T> {
    values: Vec<Option<Rc<T>>>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    fn put(&mut self, value: Rc<T>) -> u32 {
        if let Some(place) = self.free.pop() {
            self.values[place as usize] = Some(value);
            return place;
        }
        self.values.push(Some(value));
        (self.values.len() - 1) as u32
    }
}

thread_local! {
    static CONTEXTS: RefCell<Table<Bound>> = const { RefCell::new(Table::new()) };
    static SNAPSHOTS: RefCell<Table<Compiled>> = const { RefCell::new(Table::new()) };
    static SESSIONS: RefCell<Table<RefCell<Session>>> = const { RefCell::new(Table::new()) };
}

/// What has a table.
pub trait Placed: Sized + 'static {
    fn table() -> &'static LocalKey<RefCell<Table<Self>>>;
}

impl Placed for Bound {
    fn table() -> &'static LocalKey<RefCell<Table<Self>>> {
        &CONTEXTS
    }
}

impl Placed for Compiled {
    fn table() -> &'static LocalKey<RefCell<Table<Self>>> {
        &SNAPSHOTS
    }
}

impl Placed for RefCell<Session> {
    fn table() -> &'static LocalKey<RefCell<Table<Self>>> {
        &SESSIONS
    }
}

/// A value with its place in the table, which lasts as long as this.
pub struct Kept<T: Placed> {
    value: Rc<T>,
    place: u32,
}

impl<T: Placed> Kept<T> {
    pub fn new(value: T) -> Self {
        let value = Rc::new(value);
        let place = T::table().with_borrow_mut(|table| table.put(value.clone()));
        Self { value, place }
    }

    pub fn place(&self) -> u32 {
        self.place
    }
}

impl<T: Placed> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Placed> Drop for Kept<T> {
    fn drop(&mut self) {
        // At the end of a thread its tables may be gone before its objects.
        let _ = T::table().try_with(|table| {
            let mut table = table.borrow_mut();
            table.values[self.place as usize] = None;
            table.free.push(self.place);
        });
    }
}

/// Calls with what is at a place; None when nothing is.
fn at<T: Placed, R>(place: f64, with: impl FnOnce(&T) -> R) -> Option<R> {
    let place = usize::try_from(place as i64).ok()?;
    T::table().with_borrow(|table| table.values.get(place)?.as_deref().map(with))
}

/// Reads the arguments, all of them numbers, and gives the call's answer; an `Error` when there is none.
///
/// # Safety
/// `env` and `info` are those that Node-API has called with.
unsafe fn answer<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    call: fn([f64; N]) -> Option<f64>,
) -> sys::napi_value {
    let mut values = [ptr::null_mut(); N];
    let mut count = N;
    let mut result = ptr::null_mut();
    // SAFETY: as above; there is room for `count` values, and Node-API fills up with `undefined`.
    let mut status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            values.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let mut numbers = [0.0; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        if status == sys::Status::napi_ok {
            // SAFETY: the value is an argument of this call.
            status = unsafe { sys::napi_get_value_double(env, value, number) };
        }
    }
    let message = if status != sys::Status::napi_ok {
        c"the arguments of a decision are numbers"
    } else {
        match catch_unwind(|| call(numbers)) {
            Ok(Some(number)) => {
                // SAFETY: as above.
                unsafe { sys::napi_create_double(env, number, &mut result) };
                return result;
            }
            Ok(None) => c"what was to decide is gone, or the records lie outside the shared buffer",
            Err(_) => c"a decision broke inside the library: what is wrong stands on standard error",
        }
    };
    // SAFETY: as above; the message ends with a NUL.
    unsafe { sys::napi_throw_error(env, ptr::null(), message.as_ptr()) };
    result
}

unsafe extern "C" fn evaluate_kept(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let call = |[context, flag, now_ms]: [f64; 3]| {
        at(context, |context: &Bound| {
            let (snapshot, slots) = context.parts()?;
            Some(number(evaluate(&snapshot, flag as u32, slots, now_ms)))
        })?
    };
    // SAFETY: Node-API calls this.
    unsafe { answer(env, info, call) }
}

unsafe extern "C" fn evaluate_records(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let call = |[snapshot, length, flag, now_ms]: [f64; 4]| {
        at(snapshot, |compiled: &Compiled| {
            compiled.filled(length as u32, |snapshot, slots| {
                number(evaluate(snapshot, flag as u32, slots, now_ms))
            })
        })?
    };
    // SAFETY: Node-API calls this.
    unsafe { answer(env, info, call) }
}

unsafe extern "C" fn decide_kept(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let call = |[session, context, flag, now_ms]: [f64; 4]| {
        at(session, |session: &RefCell<Session>| {
            at(context, |context: &Bound| {
                let (snapshot, slots) = context.parts()?;
                Some(decide(&mut session.borrow_mut(), &snapshot, flag as u32, slots, now_ms))
            })?
        })?
    };
    // SAFETY: Node-API calls this.
    unsafe { answer(env, info, call) }
}

unsafe extern "C" fn decide_records(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let call = |[session, snapshot, length, flag, now_ms]: [f64; 5]| {
        at(session, |session: &RefCell<Session>| {
            at(snapshot, |compiled: &Compiled| {
                compiled.filled(length as u32, |snapshot, slots| {
                    decide(&mut session.borrow_mut(), snapshot, flag as u32, slots, now_ms)
                })
            })?
        })?
    };
    // SAFETY: Node-API calls this.
    unsafe { answer(env, info, call) }
}

unsafe extern "C" fn nothing(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node-API calls this.
    unsafe { answer(env, info, |[number]: [f64; 1]| Some(number)) }
}

/// Sessions, snapshots and contexts go in by their `place`; records by their length in the buffer that the snapshot shares. A
/// decision whose exposure was queued comes as a number below zero (`told`). `nothing` gives its argument back: what a call costs.
#[napi(
    catch_unwind,
    ts_return_type = "{ \
        evaluateKept(context: number, flag: number, nowMs: number): number; \
        evaluateRecords(snapshot: number, length: number, flag: number, nowMs: number): number; \
        decideKept(session: number, context: number, flag: number, nowMs: number): number; \
        decideRecords(session: number, snapshot: number, length: number, flag: number, nowMs: number): number; \
        nothing(number: number): number }"
)]
pub fn direct(env: &Env) -> Result<Object<'_>> {
    let mut calls = Object::new(env)?;
    let all: [(&str, Callback); 5] = [
        ("evaluateKept", evaluate_kept),
        ("evaluateRecords", evaluate_records),
        ("decideKept", decide_kept),
        ("decideRecords", decide_records),
        ("nothing", nothing),
    ];
    for (name, call) in all {
        calls.set(name, env.create_function::<(), f64>(name, call)?)?;
    }
    Ok(calls)
}
