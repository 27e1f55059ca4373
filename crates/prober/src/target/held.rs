//! Requests whose last byte is held back, by whatever version of HTTP and under TLS too.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::{sync::watch, time::timeout};

/// How long the last bytes wait for requests that have not gone out: one that never does must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests that end at the same moment: each waits before its last byte until all others have come as far.
#[derive(Clone)]
pub(crate) struct Gate {
    wanted: usize,
    there: Arc<watch::Sender<usize>>,
}

impl Gate {
    /// A gate for so many requests.
    pub(crate) fn new(wanted: usize) -> Self {
        Self { wanted, there: Arc::new(watch::Sender::new(0)) }
    }

    /// How many requests have gone out but for their last byte.
    pub(crate) fn there(&self) -> usize {
        *self.there.borrow()
    }

    /// A body that ends when the others do. Its second piece is asked for when the first has been taken.
    pub(super) fn body(&self, mut bytes: Vec<u8>) -> reqwest::Body {
        let last = bytes.split_off(bytes.len().saturating_sub(1));
        reqwest::Body::wrap_stream(self.pieces(bytes, last))
    }

    fn pieces(
        &self,
        most: Vec<u8>,
        last: Vec<u8>,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + use<> {
        let (gate, pieces) = (self.clone(), [most, last].into_iter().enumerate());
        stream::unfold((gate, pieces), |(gate, mut pieces)| async move {
            let (place, piece) = pieces.next()?;
            if place > 0 {
                gate.wait().await;
            }
            Some((Ok(Bytes::from(piece)), (gate, pieces)))
        })
    }

    async fn wait(&self) {
        self.there.send_modify(|there| *there += 1);
        let mut there = self.there.subscribe();
        let _late = timeout(PATIENCE, there.wait_for(|there| *there >= self.wanted)).await;
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.there(), self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, future::join_all, poll};

    use super::*;

    #[tokio::test]
    async fn no_last_byte_goes_out_before_all_others_have() {
        let gate = Gate::new(2);
        let mut one = Box::pin(gate.pieces(b"abc".to_vec(), b"d".to_vec()));
        let mut other = Box::pin(gate.pieces(b"ABC".to_vec(), b"D".to_vec()));
        assert_eq!(one.next().await.unwrap().unwrap(), "abc");
        assert_eq!(other.next().await.unwrap().unwrap(), "ABC");
        let mut last = Box::pin(one.next());
        assert!(poll!(&mut last).is_pending());
        assert_eq!(gate.there(), 1);
        let both = join_all([last, Box::pin(other.next())]).await;
        assert_eq!(both.into_iter().map(|piece| piece.unwrap().unwrap()).collect::<Vec<_>>(), ["d", "D"]);
        assert!(one.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_goes_out_holds_nobody_up() {
        let gate = Gate::new(2);
        let whole: Vec<_> = gate.pieces(b"abc".to_vec(), b"d".to_vec()).collect().await;
        assert_eq!((whole.len(), gate.there()), (2, 1));
    }
}
