//! Answers that were worked out before.

use std::{
    cell::{Cell, RefCell},
    marker::PhantomData,
};

use super::{
    At,
    shelves::{Dense, Shelf, Slot},
};

/// What is known of expressions, worked out on demand.
///
/// Questions lead to others and may come back to themselves; what is asked for again while it is worked out gets a first
/// answer that adds nothing. An answer that rests on such a first answer of a question further up is only good until that one
/// is answered. All others are kept for ever, so that no question is worked out twice and none depends on the order of asking.
#[derive(Debug)]
pub(crate) struct Answers<T, S = Dense<T>> {
    known: RefCell<Known<S>>,
    /// The outermost open question that the one being worked out rests on so far.
    rests_on: Cell<u16>,
    /// How many answers were cut short.
    cuts: Cell<u32>,
    kind: PhantomData<T>,
}

/// What is known so far.
#[derive(Debug)]
struct Known<S> {
    shelf: S,
    /// What is being worked out, the outermost first.
    asking: Vec<At>,
    /// What rests on something in `asking`, in the order of the answers.
    unsure: Vec<At>,
}

/// It rests on no open question.
const NOTHING: u16 = u16::MAX;

impl<T, S: Shelf<T>> Default for Answers<T, S> {
    fn default() -> Self {
        Self::sized(Vec::new())
    }
}

impl<T, S: Shelf<T>> Answers<T, S> {
    /// None yet, for modules with so many expressions and bindings.
    pub(crate) fn sized(sizes: Vec<usize>) -> Self {
        Self {
            known: RefCell::new(Known { shelf: S::sized(sizes), asking: Vec::new(), unsure: Vec::new() }),
            rests_on: Cell::new(NOTHING),
            cuts: Cell::new(0),
            kind: PhantomData,
        }
    }
}

impl<S> Known<S> {
    /// Notes that something is being worked out: its number among what is, and how much was unsure before.
    fn open<T>(&mut self, at: At, first: T) -> (u16, usize)
    where
        S: Shelf<T>,
    {
        // Far fewer are open at once than the number holds: each goes a step deeper.
        let number = u16::try_from(self.asking.len()).unwrap_or(NOTHING - 1);
        self.asking.push(at);
        self.shelf.put(at, Slot::Open(first, number));
        (number, self.unsure.len())
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
        match self.known.borrow().shelf.get(at) {
            Some(Slot::Known(answer)) => return answer,
            Some(Slot::Open(answer, on)) => {
                self.rests_on.set(self.rests_on.get().min(on));
                return answer;
            }
            None => {}
        }
        let (number, mark) = self.known.borrow_mut().open(at, first);
        let outer = self.rests_on.replace(NOTHING);
        let answer = find();
        let on = self.rests_on.get();
        let mut known = self.known.borrow_mut();
        let Known { shelf, asking, unsure } = &mut *known;
        asking.pop();
        if on >= number {
            // What rested on this one's first answer is worked out anew when it is asked for.
            for stale in unsure.drain(mark..) {
                shelf.remove(stale);
            }
            if is_worth(&answer) {
                shelf.put(at, Slot::Known(answer.clone()));
            } else {
                shelf.remove(at);
            }
            self.rests_on.set(outer);
        } else {
            shelf.put(at, Slot::Open(answer.clone(), on));
            unsure.push(at);
            self.rests_on.set(outer.min(on));
        }
        answer
    }

    /// An answer is cut short, because too many questions are open: it is as good as it gets for the outermost one only.
    pub(crate) fn cut(&self) {
        self.rests_on.set(0);
        self.cuts.set(self.cuts.get().wrapping_add(1));
    }

    /// How many answers were cut short so far.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.get()
    }

    /// Does a part of what a question asks, and says whether that rests on no open question.
    pub(crate) fn watch<R>(&self, part: impl FnOnce() -> R) -> (R, bool) {
        let outer = self.rests_on.replace(NOTHING);
        let done = part();
        let on = self.rests_on.get();
        self.rests_on.set(outer.min(on));
        (done, on == NOTHING)
    }

    /// Gives up what was being worked out: a rule that panicked leaves it half done.
    pub(crate) fn forget_open(&self) {
        let mut known = self.known.borrow_mut();
        let Known { shelf, asking, unsure } = &mut *known;
        for open in asking.drain(..).chain(unsure.drain(..)) {
            shelf.remove(open);
        }
        self.rests_on.set(NOTHING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ir::ExprId, project::ModuleId};

    impl super::super::shelves::Small for u16 {
        fn number(self) -> u16 {
            self
        }

        fn of_number(number: u16) -> Self {
            number
        }
    }

    fn at(number: u32) -> At {
        At { module: ModuleId(0), expr: ExprId(number) }
    }

    /// The sum of the numbers that are reached from one; 1 → 2 → 3 → 2 is a circle with a way in.
    fn reach(answers: &Answers<u16>, from: u32, worked: &Cell<u32>) -> u16 {
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
            let (answers, worked) = (Answers::<u16>::default(), Cell::new(0));
            reach(&answers, first, &worked);
            assert_eq!(reach(&answers, 1, &worked), 0b11110);
            assert_eq!(reach(&answers, 2, &worked), 0b11100);
            assert_eq!(reach(&answers, 3, &worked), 0b11100);
        }
    }

    #[test]
    fn what_rests_on_no_open_question_is_worked_out_once() {
        let (answers, worked) = (Answers::<u16>::default(), Cell::new(0));
        reach(&answers, 1, &worked);
        let before = worked.get();
        assert_eq!(reach(&answers, 4, &worked), 0b10000);
        assert_eq!(reach(&answers, 2, &worked), 0b11100);
        assert_eq!(worked.get(), before);
    }

    #[test]
    fn a_cut_answer_is_kept_for_the_outermost_question_only() {
        let (answers, worked) = (Answers::<u16>::default(), Cell::new(0));
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
        let answers: Answers<u16> = Answers::default();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            answers.ask(at(1), 0, || panic!("half done"));
        }));
        assert!(broken.is_err());
        answers.forget_open();
        assert_eq!(answers.ask(at(1), 0, || 5), 5);
    }
}
