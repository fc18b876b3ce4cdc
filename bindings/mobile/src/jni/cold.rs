//! The calls off the path of decisions, each by the name that Kotlin declares it with.

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::jlong;

use super::wire::{Value, call, free, handle, this};
use crate::context::NativeContext;
use crate::engine::NativeEngine;
use crate::functions;
use crate::session::NativeSession;
use crate::snapshot::NativeSnapshot;

/// Calls of an object: `name(object, arguments) => answer`.
macro_rules! calls {
    ($($name:ident($this:ident: $object:ty, $arguments:ident) => $answer:expr;)*) => {$(
        /// # Safety
        /// `handle`, and handles among the arguments, are 0 or those of living objects of their types.
        #[unsafe(no_mangle)]
        pub unsafe extern "system" fn $name<'local>(
            env: EnvUnowned<'local>,
            _class: JClass<'local>,
            handle: jlong,
            arguments: JByteArray<'local>,
        ) -> JByteArray<'local> {
            call(env, arguments, |$arguments| {
                // SAFETY: the caller's promise.
                let $this = unsafe { this::<$object>(handle) }?;
                #[allow(unused_unsafe, reason = "most answers read no handle")]
                // SAFETY: the caller's promise.
                let answer = unsafe { $answer };
                Ok(answer)
            })
        }
    )*};
}

/// Calls without an object: constructors and functions.
macro_rules! functions {
    ($($name:ident($arguments:ident) => $answer:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "system" fn $name<'local>(
            env: EnvUnowned<'local>,
            _class: JClass<'local>,
            arguments: JByteArray<'local>,
        ) -> JByteArray<'local> {
            call(env, arguments, |$arguments| Ok($answer))
        }
    )*};
}

/// Ends of objects.
macro_rules! ends {
    ($($name:ident: $object:ty;)*) => {$(
        /// # Safety
        /// 0, or the handle of a living object of this type, which nobody uses any more.
        #[unsafe(no_mangle)]
        pub unsafe extern "system" fn $name(_env: EnvUnowned<'_>, _class: JClass<'_>, handle: jlong) {
            // SAFETY: the caller's promise.
            unsafe { free::<$object>(handle) };
        }
    )*};
}

functions! {
    Java_dev_evenhand_internal_Jni_engineNew(a) => Value(handle(NativeEngine::new(a.value()?)?));
    Java_dev_evenhand_internal_Jni_sessionNew(a) => Value(handle(NativeSession::new(a.value()?, a.value()?, a.value()?)?));
    Java_dev_evenhand_internal_Jni_bucketOf(a) => Value(functions::bucket_of(a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_verifyOverrideToken(a) =>
        Value(functions::verify_override_token(a.value()?, a.value()?, a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_panicForTests(_a) => functions::panic_for_tests()?;
}

calls! {
    Java_dev_evenhand_internal_Jni_engineAddList(engine: NativeEngine, a) => engine.add_list(a.value()?)?;
    Java_dev_evenhand_internal_Jni_engineUpdate(engine: NativeEngine, a) => Value(handle(engine.update(a.value()?)?));
    Java_dev_evenhand_internal_Jni_engineReportJson(engine: NativeEngine, _a) => Value(engine.report_json()?);

    Java_dev_evenhand_internal_Jni_snapshotInfo(snapshot: NativeSnapshot, _a) => Value(snapshot.info()?);
    Java_dev_evenhand_internal_Jni_snapshotFlagIndex(snapshot: NativeSnapshot, a) => Value(snapshot.flag_index(a.value()?)?);
    Java_dev_evenhand_internal_Jni_snapshotFlagTables(snapshot: NativeSnapshot, a) => Value(snapshot.flag_tables(a.value()?)?);
    Java_dev_evenhand_internal_Jni_snapshotBind(snapshot: NativeSnapshot, a) =>
        Value(handle(snapshot.bind(a.value()?, a.value()?, a.value()?)?));
    Java_dev_evenhand_internal_Jni_snapshotExplainJson(snapshot: NativeSnapshot, a) =>
        Value(snapshot.explain_json(a.value()?, a.object::<NativeContext>()?, a.value()?)?);

    Java_dev_evenhand_internal_Jni_sessionNext(session: NativeSession, a) => Value(session.next(a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionWakes(session: NativeSession, _a) => Value(session.wakes()?);
    Java_dev_evenhand_internal_Jni_sessionSnapshots(session: NativeSession, _a) => Value(session.snapshots()?);
    Java_dev_evenhand_internal_Jni_sessionSnapshot(session: NativeSession, _a) => Value(session.snapshot()?.map_or(0, handle));
    Java_dev_evenhand_internal_Jni_sessionUnitTypes(session: NativeSession, _a) => Value(session.unit_types()?);
    Java_dev_evenhand_internal_Jni_sessionExpose(session: NativeSession, a) =>
        Value(session.expose(a.object::<NativeContext>()?, a.value()?, a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionStickyRecord(session: NativeSession, a) =>
        Value(session.sticky_record(a.object::<NativeContext>()?, a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionUnitText(session: NativeSession, a) => Value(session.unit_text(a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionTrack(session: NativeSession, a) => Value(session.track(a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionCountEvaluations(session: NativeSession, a) => session.count_evaluations(a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionUpdateManifest(session: NativeSession, a) =>
        session.update_manifest(a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionManifestResponse(session: NativeSession, a) =>
        session.manifest_response(a.value()?, a.value()?, a.value()?, a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionListResponse(session: NativeSession, a) =>
        session.list_response(a.value()?, a.value()?, a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionFetchFailed(session: NativeSession, a) =>
        session.fetch_failed(a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionStreamResponse(session: NativeSession, a) =>
        session.stream_response(a.value()?, a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionStreamBytes(session: NativeSession, a) =>
        session.stream_bytes(a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionStreamClosed(session: NativeSession, a) =>
        session.stream_closed(a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionBatchResponse(session: NativeSession, a) =>
        session.batch_response(a.value()?, a.value()?, a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionBatchFailed(session: NativeSession, a) =>
        session.batch_failed(a.value()?, a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionFlush(session: NativeSession, a) => Value(session.flush(a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionIsFlushed(session: NativeSession, a) => Value(session.is_flushed(a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionShutdown(session: NativeSession, a) => session.shutdown(a.value()?, a.value()?)?;
    Java_dev_evenhand_internal_Jni_sessionSpool(session: NativeSession, _a) => Value(session.spool()?);
    Java_dev_evenhand_internal_Jni_sessionSpoolMark(session: NativeSession, a) => Value(session.spool_mark(a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionRestore(session: NativeSession, a) =>
        Value(session.restore(a.value()?, a.value()?, a.value()?)?);
    Java_dev_evenhand_internal_Jni_sessionTakeDiagnostics(session: NativeSession, _a) => Value(session.take_diagnostics()?);
    Java_dev_evenhand_internal_Jni_sessionTelemetry(session: NativeSession, a) => Value(session.telemetry(a.value()?)?);
}

ends! {
    Java_dev_evenhand_internal_Jni_engineFree: NativeEngine;
    Java_dev_evenhand_internal_Jni_snapshotFree: NativeSnapshot;
    Java_dev_evenhand_internal_Jni_contextFree: NativeContext;
    Java_dev_evenhand_internal_Jni_sessionFree: NativeSession;
}
