//! Whether a program finds its pattern in a text: all places of the program that can be reached are followed at once, as one
//! bit each, so that time is linear in the text whatever the pattern. Nothing is allocated, shared or kept between searches.

use super::parse::Assertion;
use super::program::{MAX_STEPS, Program, Step};

impl Program {
    /// Whether the pattern is found anywhere in `text`.
    pub fn is_found(&self, text: &str) -> bool {
        // Most patterns are short: their places fit into one word, and the search into registers.
        const LONGEST: usize = MAX_STEPS.div_ceil(64);
        match self.steps.len().div_ceil(64) {
            0 | 1 => Search::<1>::new(self, text).run(),
            2..=8 => Search::<8>::new(self, text).run(),
            _ => Search::<LONGEST>::new(self, text).run(),
        }
    }
}

/// A set of places.
#[derive(Clone, Copy)]
struct Places<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Places<WORDS> {
    const NONE: Self = Self([0; WORDS]);

    /// Adds a place; answers whether it is new.
    #[inline(always)]
    fn add(&mut self, place: usize) -> bool {
        let bit = 1u64.wrapping_shl(place as u32);
        match self.0.get_mut(place >> 6) {
            Some(word) => {
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            None => false,
        }
    }

    /// Takes out the lowest place of the words from `word` on.
    #[inline(always)]
    fn take_from(&mut self, word: usize) -> Option<usize> {
        for (at, bits) in self.0.iter_mut().enumerate().skip(word) {
            if *bits != 0 {
                let place = at << 6 | bits.trailing_zeros() as usize;
                *bits &= bits.wrapping_sub(1);
                return Some(place);
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

/// A search, standing between two characters.
struct Search<'a, const WORDS: usize> {
    program: &'a Program,
    rest: core::str::Chars<'a>,
    before: Option<char>,
    after: Option<char>,
}

impl<'a, const WORDS: usize> Search<'a, WORDS> {
    fn new(program: &'a Program, text: &'a str) -> Self {
        let mut rest = text.chars();
        let after = rest.next();
        Self {
            program,
            rest,
            before: None,
            after,
        }
    }

    fn run(mut self) -> bool {
        let begins = self.program.begins();
        let mut reached = Places::NONE;
        reached.add(0);
        loop {
            let Some(next) = self.follow(reached) else {
                return true;
            };
            if self.after.is_none() || begins && next.is_empty() {
                return false;
            }
            self.before = self.after;
            self.after = self.rest.next();
            reached = next;
            // It may begin at any character.
            if !begins {
                reached.add(0);
            }
        }
    }

    /// The places that can be reached with the next character; none when the pattern is found without it.
    #[inline(always)]
    fn follow(&self, reached: Places<WORDS>) -> Option<Places<WORDS>> {
        let (mut open, mut seen, mut next) = (reached, reached, Places::NONE);
        let mut from = 0;
        // Each place once: `seen` keeps loops from going round.
        while let Some(place) = open.take_from(from) {
            let behind = place.wrapping_add(1);
            from = place >> 6;
            let taken = match self.program.steps.get(place)? {
                Step::Found => return None,
                Step::Char(c) => self.after == Some(*c),
                Step::Class(class) => {
                    let class = self.program.classes.get(usize::from(*class));
                    class.zip(self.after).is_some_and(|(class, c)| class.holds(c))
                }
                Step::Assertion(assertion) => {
                    if self.holds(*assertion) && seen.add(behind) {
                        open.add(behind);
                    }
                    false
                }
                Step::Split(goal) | Step::Jump(goal) => {
                    if matches!(self.program.steps.get(place), Some(Step::Split(_))) && seen.add(behind) {
                        open.add(behind);
                    }
                    let goal = usize::from(*goal);
                    if seen.add(goal) {
                        open.add(goal);
                        // Backwards, the words before are to be looked at again.
                        from = from.min(goal >> 6);
                    }
                    false
                }
            };
            if taken {
                next.add(behind);
            }
        }
        Some(next)
    }

    fn holds(&self, assertion: Assertion) -> bool {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        match assertion {
            Assertion::Start => self.before.is_none(),
            Assertion::End => self.after.is_none(),
            Assertion::Boundary => is_word(self.before) != is_word(self.after),
            Assertion::NoBoundary => is_word(self.before) == is_word(self.after),
        }
    }
}
