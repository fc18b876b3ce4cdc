package dev.evenhand.internal

import com.sun.jna.Native
import com.sun.jna.NativeLong
import com.sun.jna.Pointer

/**
 * The library's C functions for decisions (include/evenhand_mobile.h), by JNA: one crossing and no structures, where uniffi's own way
 * makes four and takes 100 µs. Pointers are those of the generated objects: who calls keeps these alive meanwhile.
 */
@Suppress("FunctionName")
internal object JnaHot {
    init {
        // The same name as the generated classes load: one library, not two.
        Native.register(JnaHot::class.java, System.getProperty(dev.evenhand.internal.Native.OVERRIDE) ?: dev.evenhand.internal.Native.LIBRARY)
    }

    @JvmStatic external fun evenhand_mobile_evaluate_bound(snapshot: Pointer, context: Pointer, flag: Int, nowMs: Long): Long

    @JvmStatic external fun evenhand_mobile_decide_bound(session: Pointer, snapshot: Pointer, context: Pointer, flag: Int, nowMs: Long): Long

    @JvmStatic
    external fun evenhand_mobile_evaluate_records(snapshot: Pointer, records: Pointer, length: NativeLong, flag: Int, nowMs: Long): Long

    @JvmStatic
    external fun evenhand_mobile_decide_records(
        session: Pointer,
        snapshot: Pointer,
        records: Pointer,
        length: NativeLong,
        flag: Int,
        nowMs: Long,
    ): Long

    @JvmStatic
    external fun evenhand_mobile_evaluate_all_bound(
        snapshot: Pointer,
        context: Pointer,
        nowMs: Long,
        numbers: Pointer,
        capacity: NativeLong,
    ): NativeLong

    @JvmStatic external fun evenhand_mobile_nothing(number: Long): Long
}
