//! Leases on a clock of the tests: rates, processes that die, outages, and few questions.

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The common bucket as `take.lua` has it, on the clock of the test.
struct Bucket {
    terms: Terms,
    tokens: f64,
    at: Instant,
    questions: usize,
}

impl Bucket {
    fn new(terms: Terms, now: Instant) -> Self {
        Self { terms, tokens: f64::from(terms.burst), at: now, questions: 0 }
    }

    fn ask(&mut self, now: Instant, question: Question) -> Answer {
        self.questions += 1;
        let rate = f64::from(self.terms.per_second);
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        let full = f64::from(self.terms.burst);
        self.tokens = (self.tokens + grown + f64::from(question.back)).min(full) - question.owed;
        self.tokens = self.tokens.max(0.0);
        self.at = now;
        let mut taken = 0;
        while taken < question.want && self.tokens >= 1.0 {
            (taken, self.tokens) = (taken + 1, self.tokens - 1.0);
        }
        Answer { taken, wait: Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / rate) }
    }
}

/// Processes that share a bucket. Answers take a while, and the time passes in steps.
struct Play {
    now: Instant,
    bucket: Bucket,
    processes: Vec<Process>,
    /// Whether there are answers.
    answers: bool,
}

struct Process {
    lease: Lease,
    own: Bucket,
    asked: Option<(Instant, Question)>,
    waiting: u32,
    admitted: usize,
    refused: usize,
}

const DELAY: Duration = Duration::from_micros(500);
const TIMEOUT: Duration = ms(50);

impl Play {
    fn new(terms: Terms, processes: usize) -> Self {
        let now = Instant::now();
        let process = |n| Process {
            lease: Lease::new(terms, now, 7919 * (n as u64 + 1)),
            own: Bucket::new(Terms { per_second: terms.per_second, burst: terms.burst, replicas: 1 }, now),
            asked: None,
            waiting: 0,
            admitted: 0,
            refused: 0,
        };
        let mut play = Self { now, bucket: Bucket::new(terms, now), processes: Vec::new(), answers: true };
        play.processes = (0..processes).map(process).collect();
        for process in &mut play.processes {
            let replicas = terms.replicas;
            process.own.terms.burst = (terms.burst / replicas).max(1);
            process.own.tokens = f64::from(process.own.terms.burst);
        }
        play
    }

    /// The time passes by that much, in which process `n` gets a call every `pace[n]`.
    fn run(&mut self, time: Duration, pace: &[Duration]) {
        let (tick, start) = (Duration::from_micros(250), self.now);
        let mut next: Vec<Instant> = pace.iter().map(|_| start).collect();
        while self.now < start + time {
            self.now += tick;
            for (n, process) in self.processes.iter_mut().enumerate() {
                process.hear(self.now, &mut self.bucket, self.answers);
                while next[n] <= self.now {
                    next[n] += pace[n];
                    process.call(self.now);
                }
            }
        }
    }

    fn admitted(&mut self) -> usize {
        self.processes.iter_mut().map(|process| std::mem::take(&mut process.admitted)).sum()
    }

    fn refused(&mut self) -> usize {
        self.processes.iter_mut().map(|process| std::mem::take(&mut process.refused)).sum()
    }
}

impl Process {
    /// An answer that is due, or the end of the time for one.
    fn hear(&mut self, now: Instant, bucket: &mut Bucket, answers: bool) {
        let Some((since, question)) = self.asked else { return };
        if answers && now >= since + DELAY {
            let answer = bucket.ask(now, question);
            self.lease.answered(now, question, answer);
            self.asked = None;
        } else if now >= since + TIMEOUT {
            self.lease.unanswered(now, question);
            self.asked = None;
        } else {
            return;
        }
        for _call in 0..std::mem::take(&mut self.waiting) {
            self.call(now);
        }
    }

    fn ask(&mut self, now: Instant, question: Option<Question>) {
        if let Some(question) = question {
            assert!(self.asked.is_none(), "one question at a time");
            self.asked = Some((now, question));
        }
    }

    /// Asks the process' own share, which lets pass what its part of the rate allows.
    fn own(&mut self, now: Instant) -> bool {
        let replicas = f64::from(self.lease.terms.replicas);
        let (rate, full) = (f64::from(self.own.terms.per_second) / replicas, f64::from(self.own.terms.burst));
        let grown = now.saturating_duration_since(self.own.at).as_secs_f64() * rate;
        self.own.tokens = (self.own.tokens + grown).min(full);
        self.own.at = now;
        let has = self.own.tokens >= 1.0;
        if has {
            self.own.tokens -= 1.0;
        }
        has
    }

    fn call(&mut self, now: Instant) {
        match self.lease.step(now, self.waiting + 1) {
            Step::Admit(question) => {
                self.own(now);
                self.ask(now, question);
                self.admitted += 1;
            }
            Step::Refuse(_) => self.refused += 1,
            Step::Wait(question) => {
                self.waiting += 1;
                self.ask(now, question);
            }
            Step::Alone(question) => {
                self.ask(now, question);
                if self.own(now) {
                    self.lease.went_alone(now);
                    self.admitted += 1;
                } else {
                    self.refused += 1;
                }
            }
        }
    }
}

const TERMS: Terms = Terms { per_second: 600, burst: 120, replicas: 3 };
const FLOOD: Duration = Duration::from_micros(500);

#[track_caller]
fn within_a_tenth(admitted: usize, wanted: u32) {
    let (admitted, wanted) = (admitted as f64, f64::from(wanted));
    assert!((admitted / wanted - 1.0).abs() <= 0.1, "{admitted} and not about {wanted}");
}

#[test]
fn a_flood_at_three_processes_gets_the_rate_of_one() {
    for (per_second, burst) in [(600, 120), (50, 100), (5, 10), (20_000, 2_000), (1000, 30)] {
        let mut play = Play::new(Terms { per_second, burst, replicas: 3 }, 3);
        let pace = [Duration::from_nanos(700_000_000 / u64::from(per_second)); 3];
        play.run(ms(1000), &pace);
        let at_first = play.admitted();
        assert!(
            at_first as f64 <= f64::from(burst + per_second) * 1.1,
            "{at_first} of {burst} + {per_second}"
        );
        play.run(ms(5000), &pace);
        within_a_tenth(play.admitted(), 5 * per_second);
    }
}

#[test]
fn an_uneven_flood_gets_the_same_rate() {
    let mut play = Play::new(TERMS, 3);
    let pace = [FLOOD, ms(20), ms(300)];
    play.run(ms(1000), &pace);
    let _burst = play.admitted();
    play.run(ms(3000), &pace);
    within_a_tenth(play.admitted(), 3 * TERMS.per_second);
}

#[test]
fn who_keeps_to_the_limit_is_not_refused() {
    // Together nine tenths of the limit, in three ways of sharing it out.
    for rates in [[180, 180, 180], [530, 5, 5], [400, 100, 40]] {
        let mut play = Play::new(TERMS, 3);
        let pace = rates.map(|rate| Duration::from_secs(1) / rate);
        play.run(ms(10_000), &pace);
        let (admitted, refused) = (play.admitted(), play.refused());
        assert_eq!(refused, 0, "of {admitted} at {rates:?}");
    }
}

#[test]
fn slow_callers_do_not_use_up_more_than_their_calls() {
    // One call a second at each process, of at most four a second: what is taken ahead comes back or is not taken.
    let mut play = Play::new(Terms { per_second: 4, burst: 4, replicas: 3 }, 3);
    play.run(ms(60_000), &[ms(1000); 3]);
    assert_eq!(play.refused(), 0);
    assert!(play.bucket.questions <= 2 * 3 * 60, "{}", play.bucket.questions);
}

#[test]
fn few_questions_are_asked_however_many_calls_there_are() {
    let mut play = Play::new(Terms { per_second: 20_000, burst: 20_000, replicas: 3 }, 3);
    play.run(ms(1000), &[Duration::from_micros(60); 3]);
    assert!(play.admitted() > 30_000);
    let questions = std::mem::take(&mut play.bucket.questions);
    assert!(questions < 400, "{questions} while it flows");
    play.run(ms(1000), &[Duration::from_micros(10); 3]);
    assert!(play.bucket.questions < 700, "{} while most are refused", play.bucket.questions);
}

#[test]
fn a_process_that_ends_takes_a_lease_with_it_and_no_more() {
    let mut play = Play::new(TERMS, 3);
    play.run(ms(1000), &[FLOOD; 3]);
    let _burst = play.admitted();
    let _gone = play.processes.pop();
    play.run(ms(3000), &[FLOOD; 2]);
    within_a_tenth(play.admitted(), 3 * TERMS.per_second);
}

#[test]
fn without_answers_the_shares_hold_and_no_burst_comes_of_it() {
    let mut play = Play::new(TERMS, 3);
    play.run(ms(1000), &[FLOOD; 3]);
    let _burst = play.admitted();
    // Answers stop and come back, again and again.
    for _ in 0..10 {
        play.answers = false;
        play.run(ms(700), &[FLOOD; 3]);
        play.answers = true;
        play.run(ms(700), &[FLOOD; 3]);
    }
    within_a_tenth(play.admitted(), 14 * TERMS.per_second);
    play.answers = false;
    play.run(ms(500), &[FLOOD; 3]);
    let _change = play.admitted();
    play.run(ms(5000), &[FLOOD; 3]);
    within_a_tenth(play.admitted(), 5 * TERMS.per_second);
}

#[test]
fn after_an_outage_in_which_little_was_used_nothing_is_owed() {
    let now = Instant::now();
    let mut lease = Lease::new(TERMS, now, 1);
    let Step::Wait(Some(question)) = lease.step(now, 1) else { panic!("the first call asks") };
    lease.unanswered(now, question);
    for _ in 0..1000 {
        lease.went_alone(now);
    }
    let question = |lease: &mut Lease, now| match lease.step(now, 1) {
        Step::Alone(Some(question)) => question,
        other => panic!("{other:?}"),
    };
    let asked = question(&mut lease, now + ms(150));
    assert!(
        (9.0..=10.1).contains(&asked.owed),
        "its part of the burst, less what 150 ms allow: {}",
        asked.owed
    );
    lease.unanswered(now + ms(200), asked);
    let later = question(&mut lease, now + ms(5000));
    assert!(later.owed.abs() < 0.001, "{}", later.owed);
}

#[test]
fn who_gets_no_answer_asks_more_and_more_rarely() {
    let mut play = Play::new(TERMS, 1);
    play.answers = false;
    let mut asked = 0;
    let start = play.now;
    while play.now < start + ms(20_000) {
        play.now += ms(1);
        let before = play.processes[0].asked.is_some();
        let now = play.now;
        play.processes[0].hear(now, &mut play.bucket, false);
        play.processes[0].call(now);
        asked += usize::from(play.processes[0].asked.is_some() && !before);
    }
    assert!((30..=60).contains(&asked), "{asked}");
    play.answers = true;
    play.run(ms(3000), &[FLOOD]);
    assert!(play.processes[0].lease.unanswered == 0);
}

#[test]
fn a_burst_that_waits_is_asked_for_at_once() {
    let now = Instant::now();
    let mut lease = Lease::new(TERMS, now, 1);
    let Step::Wait(Some(first)) = lease.step(now, 1) else { panic!("the first call asks") };
    assert_eq!(first.want, 1);
    lease.answered(now, first, Answer { taken: 1, wait: Duration::ZERO });
    assert_eq!(lease.step(now, 80), Step::Admit(None));
    let Step::Wait(Some(second)) = lease.step(now, 79) else { panic!("the others wait") };
    assert_eq!(second.want, 79);
    lease.answered(now, second, Answer { taken: 79, wait: Duration::ZERO });
    let Step::Wait(Some(most)) = lease.step(now + LIFE, 10_000) else { panic!("it ran out") };
    assert_eq!((most.want, most.back), (TERMS.burst, 79), "no more than there can be");
}

#[test]
fn an_answer_never_gives_more_than_was_wanted_and_a_lease_runs_out() {
    let now = Instant::now();
    let mut lease = Lease::new(TERMS, now, 1);
    let Step::Wait(Some(question)) = lease.step(now, 1) else { panic!("the first call asks") };
    assert_eq!((question.want, question.back), (1, 0));
    assert!(matches!(lease.step(now, 1), Step::Wait(None)), "one question at a time");
    lease.answered(now, question, Answer { taken: 1000, wait: Duration::ZERO });
    assert_eq!(lease.left, 1);
    let later = now + LIFE;
    let Step::Wait(Some(question)) = lease.step(later, 1) else { panic!("it ran out") };
    assert_eq!((question.want, question.back), (1, 1), "what was not used goes back");
    lease.answered(later, question, Answer { taken: 0, wait: ms(40) });
    let Step::Refuse(wait) = lease.step(later, 1) else { panic!("the bucket is empty") };
    assert!(wait >= ms(40));
}
