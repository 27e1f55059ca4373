//! Answers that were worked out before.

use std::cell::{Cell, RefCell};

use rustc_hash::FxHashMap;

use super::At;

/// What is known of expressions, worked out on demand.
///
/// Questions lead to others and may come back to themselves; what is asked for again while it is worked out gets a first
/// answer that adds nothing. An answer that rests on such a first answer of a question further up is only good until that one
/// is answered. All others are kept for ever, so that no question is worked out twice and none depends on the order of asking.
#[derive(Debug)]
pub(crate) struct Answers<T, S = Dense<T>> {
    known: RefCell<S>,
    /// What is being worked out and what rests on it, with the number of the outermost open question that it rests on.
    open: RefCell<FxHashMap<At, (T, u32)>>,
    /// What was answered and is in `open`, in the order of the answers.
    unsure: RefCell<Vec<At>>,
    /// How many questions are open.
    asking: Cell<u32>,
    /// The outermost open question that the one being worked out rests on so far.
    rests_on: Cell<u32>,
}

/// Where answers are kept.
pub(crate) trait Shelf<T>: Default {
    fn get(&self, at: At) -> Option<&T>;
    fn put(&mut self, at: At, answer: T);
}

/// A place for each expression of a module, for small answers that many expressions have.
#[derive(Debug)]
pub(crate) struct Dense<T>(Vec<Vec<Option<T>>>);

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Shelf<T> for Dense<T> {
    fn get(&self, at: At) -> Option<&T> {
        self.0.get(at.module.index())?.get(at.expr.index())?.as_ref()
    }

    fn put(&mut self, at: At, answer: T) {
        fn slot<T: Default>(places: &mut Vec<T>, number: usize) -> Option<&mut T> {
            if places.len() <= number {
                places.resize_with(number + 1, T::default);
            }
            places.get_mut(number)
        }
        if let Some(slot) =
            slot(&mut self.0, at.module.index()).and_then(|module| slot(module, at.expr.index()))
        {
            *slot = Some(answer);
        }
    }
}

/// For large answers that few expressions have.
pub(crate) type Sparse<T> = FxHashMap<At, T>;

impl<T> Shelf<T> for Sparse<T> {
    fn get(&self, at: At) -> Option<&T> {
        Self::get(self, &at)
    }

    fn put(&mut self, at: At, answer: T) {
        self.insert(at, answer);
    }
}

/// It rests on no open question.
const NOTHING: u32 = u32::MAX;

impl<T, S: Default> Default for Answers<T, S> {
    fn default() -> Self {
        Self {
            known: RefCell::default(),
            open: RefCell::default(),
            unsure: RefCell::default(),
            asking: Cell::new(0),
            rests_on: Cell::new(NOTHING),
        }
    }
}

impl<T: Clone, S: Shelf<T>> Answers<T, S> {
    /// The answer for an expression; `find` works it out, and `first` is for whoever asks again meanwhile.
    pub(crate) fn ask(&self, at: At, first: T, find: impl FnOnce() -> T) -> T {
        self.ask_if(at, first, find, |_| true)
    }

    /// The same, where an answer may be not worth being kept.
    pub(crate) fn ask_if(
        &self,
        at: At,
        first: T,
        find: impl FnOnce() -> T,
        is_worth: impl FnOnce(&T) -> bool,
    ) -> T {
        if let Some(known) = self.known.borrow().get(at) {
            return known.clone();
        }
        if let Some((answer, on)) = self.open.borrow().get(&at) {
            self.rests_on.set(self.rests_on.get().min(*on));
            return answer.clone();
        }
        let number = self.asking.get();
        self.asking.set(number.saturating_add(1));
        self.open.borrow_mut().insert(at, (first, number));
        let outer = self.rests_on.replace(NOTHING);
        let mark = self.unsure.borrow().len();
        let answer = find();
        self.asking.set(number);
        let on = self.rests_on.get();
        let mut open = self.open.borrow_mut();
        if on >= number {
            // What rested on this one's first answer is worked out anew when it is asked for.
            for stale in self.unsure.borrow_mut().drain(mark..) {
                open.remove(&stale);
            }
            open.remove(&at);
            if is_worth(&answer) {
                self.known.borrow_mut().put(at, answer.clone());
            }
            self.rests_on.set(outer);
        } else {
            open.insert(at, (answer.clone(), on));
            self.unsure.borrow_mut().push(at);
            self.rests_on.set(outer.min(on));
        }
        answer
    }

    /// An answer is cut short, because too many questions are open: it is as good as it gets for the outermost one only.
    pub(crate) fn cut(&self) {
        self.rests_on.set(0);
    }

    /// Gives up what was being worked out: a rule that panicked leaves it half done.
    pub(crate) fn forget_open(&self) {
        self.open.borrow_mut().clear();
        self.unsure.borrow_mut().clear();
        self.asking.set(0);
        self.rests_on.set(NOTHING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ir::ExprId, project::ModuleId};

    fn at(number: u32) -> At {
        At { module: ModuleId(0), expr: ExprId(number) }
    }

    /// The sum of the numbers that are reached from one; 1 → 2 → 3 → 2 is a circle with a way in.
    fn reach(answers: &Answers<u32>, from: u32, worked: &Cell<u32>) -> u32 {
        answers.ask(at(from), 0, || {
            worked.set(worked.get() + 1);
            let next: &[u32] = match from {
                1 => &[2],
                2 => &[3, 4],
                3 => &[2],
                _ => &[],
            };
            next.iter().fold(1 << from, |sum, next| sum | reach(answers, *next, worked))
        })
    }

    #[test]
    fn a_circle_is_answered_the_same_from_wherever_one_asks() {
        for first in [1, 2, 3] {
            let (answers, worked) = (Answers::<u32>::default(), Cell::new(0));
            reach(&answers, first, &worked);
            assert_eq!(reach(&answers, 1, &worked), 0b11110);
            assert_eq!(reach(&answers, 2, &worked), 0b11100);
            assert_eq!(reach(&answers, 3, &worked), 0b11100);
        }
    }

    #[test]
    fn what_rests_on_no_open_question_is_worked_out_once() {
        let (answers, worked) = (Answers::<u32>::default(), Cell::new(0));
        reach(&answers, 1, &worked);
        let before = worked.get();
        assert_eq!(reach(&answers, 4, &worked), 0b10000);
        assert_eq!(reach(&answers, 2, &worked), 0b11100);
        assert_eq!(worked.get(), before);
    }

    #[test]
    fn a_cut_answer_is_kept_for_the_outermost_question_only() {
        let (answers, worked) = (Answers::<u32>::default(), Cell::new(0));
        let inner = || {
            answers.ask(at(8), 0, || {
                worked.set(worked.get() + 1);
                8
            })
        };
        answers.ask(at(7), 0, || {
            answers.ask(at(9), 0, || {
                answers.cut();
                9
            }) + inner()
        });
        inner();
        assert_eq!(worked.get(), 1);
        let again = Cell::new(false);
        answers.ask(at(9), 0, || {
            again.set(true);
            9
        });
        assert!(again.get());
    }

    #[test]
    fn what_was_given_up_is_asked_anew() {
        let answers: Answers<u32> = Answers::default();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            answers.ask(at(1), 0, || panic!("half done"));
        }));
        assert!(broken.is_err());
        answers.forget_open();
        assert_eq!(answers.ask(at(1), 0, || 5), 5);
    }
}
