//! The text of a module.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::marks::Marks;

/// Reads a text again that was given up.
pub trait Again: fmt::Debug + Send + Sync {
    /// The same text as the first time, or nothing when there is another one by now.
    fn read(&self) -> Option<Arc<str>>;
}

/// A text. What can be read again is not kept until somebody asks for a piece of it: few do, and all texts of a project are
/// a large part of what it takes.
#[derive(Debug)]
pub struct Source {
    text: OnceLock<Arc<str>>,
    marks: Option<Marks>,
    again: Option<Arc<dyn Again>>,
}

impl Source {
    /// A text that is kept.
    #[must_use]
    pub fn kept(text: Arc<str>) -> Self {
        Self { text: OnceLock::from(text), marks: None, again: None }
    }

    /// Gives the text up, since it can be read again.
    pub fn give_up(&mut self, again: Arc<dyn Again>) {
        self.marks = Marks::of(self);
        self.text = OnceLock::new();
        self.again = Some(again);
    }

    /// How many bytes are held that could be read again.
    pub(crate) fn held(&self) -> usize {
        self.again.as_ref().and_then(|_| self.text.get()).map_or(0, |text| text.len())
    }

    /// Gives up a text that was read again.
    pub(crate) fn forget(&mut self) {
        if self.again.is_some() {
            self.text = OnceLock::new();
        }
    }

    /// Whether the whole has a text in it.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        self.marks.and_then(|marks| marks.have(text)).unwrap_or_else(|| self.contains(text))
    }
}

impl Deref for Source {
    type Target = str;

    fn deref(&self) -> &str {
        self.text.get_or_init(|| self.again.as_ref().and_then(|again| again.read()).unwrap_or_default())
    }
}
