package proof;

import java.util.Objects;

/** Checks that say what was expected. */
public final class Checks {
    private static final long PATIENCE_MS = 15_000;

    private Checks() {}

    /** A question that may throw. */
    public interface Question<T> {
        T ask() throws Exception;
    }

    public static void that(boolean holds, String what, Object found) {
        if (!holds) throw new AssertionError(what + "; found: " + found);
    }

    public static void equal(Object found, Object expected, String what) {
        that(Objects.equals(found, expected), what + ": expected " + expected, found);
    }

    public static void eventually(String what, Question<Boolean> holds) throws Exception {
        within(PATIENCE_MS, what, holds);
    }

    public static void eventually(Question<?> ask, Object expected, String what) throws Exception {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000;
        Object found = ask.ask();
        while (!Objects.equals(found, expected)) {
            that(System.nanoTime() < end, what + ": expected " + expected + " within " + PATIENCE_MS + " ms", found);
            Thread.sleep(10);
            found = ask.ask();
        }
    }

    public static void within(long milliseconds, String what, Question<Boolean> holds) throws Exception {
        long end = System.nanoTime() + milliseconds * 1_000_000;
        while (!holds.ask()) {
            that(System.nanoTime() < end, what, "not within " + milliseconds + " ms");
            Thread.sleep(10);
        }
    }
}
