/** The library's call that does nothing, which no application sees; Kotlin would keep to that. */
final class Nothing {
    private Nothing() {}

    static long call(long number) {
        return dev.evenhand.internal.Jni.nothing(number);
    }
}
