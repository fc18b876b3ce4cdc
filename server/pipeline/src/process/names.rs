//! Names as numbers: events repeat their names a million times, and comparing numbers is what attribution does most.

use std::{collections::HashMap, sync::Arc};

use crate::error::StoreError;

/// Gives every name a number, the same one as long as it lives.
pub trait Interner {
    /// The number of a name, given now if it has none.
    ///
    /// # Errors
    /// The names can't be read or written.
    fn number(&mut self, name: &str) -> Result<i64, StoreError>;
}

/// Names in memory. It grows with what it is asked: whoever holds one looks at [`Names::bytes`], and makes a new one (with all that was
/// numbered by it) when that is too much.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Arc<str>, i64>,
    texts: Vec<Arc<str>>,
    bytes: usize,
}

impl Names {
    /// The number of a name, given now if it has none. Numbers begin at 1: 0 is "no variation" in a cell.
    pub fn of(&mut self, name: &str) -> i64 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let text: Arc<str> = name.into();
        self.bytes += name.len() + 4 * size_of::<Arc<str>>();
        self.texts.push(Arc::clone(&text));
        let number = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.numbers.insert(text, number);
        number
    }

    /// The name with this number; None for 0 and numbers never given.
    #[must_use]
    pub fn text(&self, number: i64) -> Option<&str> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.texts.get(place).map(|text| &**text)
    }

    /// About how much memory the names take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Interner for Names {
    fn number(&mut self, name: &str) -> Result<i64, StoreError> {
        Ok(self.of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_the_number_leads_back() {
        let mut names = Names::default();
        let (a, b) = (names.of("a"), names.of("b"));
        assert_ne!(a, b);
        assert_eq!((names.of("a"), names.text(a), names.text(b)), (a, Some("a"), Some("b")));
        assert_eq!((names.text(0), names.text(-1), names.text(3)), (None, None, None));
    }
}
