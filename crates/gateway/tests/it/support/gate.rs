//! Doors that tools and upstreams wait at until a test opens them: tests order events without waiting for time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

/// Fails a test that would otherwise hang.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), work).await {
        Ok(done) => done,
        Err(_elapsed) => panic!("{what}: nothing came within 30 s"),
    }
}

/// One gate for each name.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

impl Gates {
    pub(crate) fn of(&self, name: &str) -> Arc<Gate> {
        Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default())
    }
}

/// Counts who comes, who goes, and lets through as many as it is told.
pub(crate) struct Gate {
    came: watch::Sender<usize>,
    gone: watch::Sender<usize>,
    places: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self { came: watch::Sender::new(0), gone: watch::Sender::new(0), places: Semaphore::new(0) }
    }
}

impl Gate {
    /// Waits until the gate lets one more through. Who gives up counts as gone too.
    pub(crate) async fn pass(&self) {
        struct Leaving<'g>(&'g Gate);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.gone.send_modify(|gone| *gone += 1);
            }
        }
        let _leaving = Leaving(self);
        self.came.send_modify(|came| *came += 1);
        self.places.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self, places: usize) {
        self.places.add_permits(places);
    }

    pub(crate) async fn came(&self, many: usize) {
        let mut came = self.came.subscribe();
        in_time("nobody comes to the gate", came.wait_for(|came| *came >= many)).await.unwrap();
    }

    pub(crate) async fn gone(&self, many: usize) {
        let mut gone = self.gone.subscribe();
        in_time("nobody leaves the gate", gone.wait_for(|gone| *gone >= many)).await.unwrap();
    }
}
