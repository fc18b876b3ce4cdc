//! A pattern as a list of steps, made from its tree by Thompson's construction (K. Thompson, "Regular Expression Search
//! Algorithm", 1968).

use super::class::Class;
use super::parse::{Assertion, Part};

/// What a search does when it stands at a place of the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Takes this character, and goes on behind.
    Char(char),
    /// Takes a character of the class of this index, and goes on behind.
    Class(u16),
    /// Goes on behind if it holds here.
    Assertion(Assertion),
    /// Goes on behind, and at this place too.
    Split(u16),
    /// Goes on at this place.
    Jump(u16),
    /// The pattern is found.
    Found,
}

/// The steps of a pattern; the last is [`Step::Found`].
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub steps: Box<[Step]>,
    pub classes: Box<[Class]>,
}

/// The greatest program: a pattern's size is at most 2,000, and each part of that makes at most three steps.
pub(super) const MAX_STEPS: usize = 6_144;

impl Program {
    /// None if it is longer than [`MAX_STEPS`], which the grammar's limits exclude.
    pub fn of(part: &Part) -> Option<Self> {
        let mut builder = Builder::default();
        builder.part(part);
        builder.push(Step::Found);
        (builder.steps.len() <= MAX_STEPS).then(|| Self {
            steps: builder.steps.into_boxed_slice(),
            classes: builder.classes.into_boxed_slice(),
        })
    }

    /// Whether it can be found at the beginning of a text only.
    pub fn begins(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Assertion(Assertion::Start)))
    }
}

#[derive(Default)]
struct Builder {
    steps: Vec<Step>,
    classes: Vec<Class>,
}

impl Builder {
    fn here(&self) -> u16 {
        // A program that is too long is refused when it is done; it never has 2^16 steps.
        self.steps.len() as u16
    }

    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Writes a step whose goal is not known yet.
    fn open(&mut self, step: Step) -> usize {
        let at = self.steps.len();
        self.steps.push(step);
        at
    }

    /// The goal of an open step is here.
    fn close(&mut self, at: usize) {
        let here = self.here();
        if let Some(Step::Split(goal) | Step::Jump(goal)) = self.steps.get_mut(at) {
            *goal = here;
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Char(c) => self.push(Step::Char(*c)),
            Part::Class(class) => {
                let known = self.classes.iter().position(|other| other == class);
                let index = known.unwrap_or_else(|| {
                    self.classes.push(class.clone());
                    self.classes.len().wrapping_sub(1)
                });
                // A pattern has at most 1,000 bytes.
                self.push(Step::Class(index as u16));
            }
            Part::Assertion(assertion) => self.push(Step::Assertion(*assertion)),
            Part::Sequence(parts) => parts.iter().for_each(|part| self.part(part)),
            Part::Branches(branches) => self.branches(branches),
            Part::Repeated { part, min, max } => self.repeated(part, *min, *max),
        }
    }

    fn branches(&mut self, branches: &[Part]) {
        let Some((last, others)) = branches.split_last() else {
            return;
        };
        let mut ends = Vec::with_capacity(others.len());
        for branch in others {
            let next = self.open(Step::Split(0));
            self.part(branch);
            ends.push(self.open(Step::Jump(0)));
            self.close(next);
        }
        self.part(last);
        for end in ends {
            self.close(end);
        }
    }

    fn repeated(&mut self, part: &Part, min: u32, max: Option<u32>) {
        let mut start = self.here();
        for _ in 0..min {
            start = self.here();
            self.part(part);
        }
        match max {
            // Once more, from the beginning of the last.
            None if min > 0 => self.push(Step::Split(start)),
            None => {
                let end = self.open(Step::Split(0));
                self.part(part);
                self.push(Step::Jump(start));
                self.close(end);
            }
            Some(max) => {
                let ends: Vec<usize> = (min..max)
                    .map(|_| {
                        let end = self.open(Step::Split(0));
                        self.part(part);
                        end
                    })
                    .collect();
                for end in ends {
                    self.close(end);
                }
            }
        }
    }
}
