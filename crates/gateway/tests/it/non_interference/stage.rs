//! Where histories are played: one gateway for all tenants, and one for each of them.

mod actor;
mod base;
mod set;
mod upstream;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use futures_util::future::join_all;
use tokio::runtime::Runtime;

pub(super) use self::base::Kind;
use self::{
    actor::play,
    set::{BEFORE_THE_NEXT_CALL, House, UNLIMITED},
};
use super::history::Script;

/// How the gateways are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    AsBuilt,
    /// With a counter that all tenants share, which the property must find.
    SharedCounter,
    /// With a breaker that one tenant's failures open for all, which the property must find.
    SharedBreaker,
}

/// The most tenants of a history.
pub(super) const TENANTS: usize = 5;

pub(super) struct Stage {
    together: House,
    alone: Vec<House>,
    answered: AtomicU64,
    runtime: Runtime,
    /// Histories that were played again.
    repeated: AtomicU64,
}

impl Stage {
    pub(super) fn new(shape: Shape, kind: Kind) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let (together, alone) = runtime.block_on(async {
            let together = House::open(shape, kind).await;
            let mut alone = Vec::new();
            for _ in 0..TENANTS {
                alone.push(House::open(shape, kind).await);
            }
            (together, alone)
        });
        Self { together, alone, answered: AtomicU64::new(0), runtime, repeated: AtomicU64::new(0) }
    }

    /// Plays a history both ways; what differs, if anything.
    pub(super) fn interference(&self, scripts: &[Script]) -> Option<String> {
        loop {
            let since = Instant::now();
            let found = self.play(scripts);
            if scripts.len() <= UNLIMITED || since.elapsed() < BEFORE_THE_NEXT_CALL {
                return found;
            }
            // The machine was busy with something else for so long that a limited tenant's allowance has grown.
            let repeated = self.repeated.fetch_add(1, Relaxed);
            assert!(repeated < 1000, "this machine is too slow for the limits of the histories");
        }
    }

    fn play(&self, scripts: &[Script]) -> Option<String> {
        self.runtime.block_on(async {
            for (number, alone) in self.alone.iter().enumerate().take(scripts.len()) {
                self.together.furnish(number).await;
                alone.furnish(number).await;
            }
            let together = join_all(
                scripts.iter().enumerate().map(|(number, script)| play(&self.together, number, script)),
            );
            let alone = async {
                let mut transcripts = Vec::new();
                for ((number, script), house) in scripts.iter().enumerate().zip(&self.alone) {
                    transcripts.push(play(house, number, script).await);
                }
                transcripts
            };
            let (together, alone) = tokio::join!(together, alone);
            self.answered.fetch_add(together.iter().map(|lines| lines.len() as u64).sum(), Relaxed);
            let different = together.iter().zip(&alone).position(|(together, alone)| together != alone)?;
            Some(format!(
                "tenant t{different} saw\n{:#?}\nand alone it sees\n{:#?}",
                together.get(different),
                alone.get(different)
            ))
        })
    }

    /// The histories did something: most steps were answered with a result.
    pub(super) fn assert_busy(&self) {
        let (answered, ok) = (self.answered.load(Relaxed), self.together.results());
        assert!(ok * 2 > answered, "{ok} results in {answered} answers");
    }
}
