//! The open connections: bounded in all and for each tenant, and those that know how to use them come first.
//!
//! When all seats are taken a new connection is let in all the same, and room is made for it: a connection that never
//! brought a good token goes first, the one that is open longest. Then the tenant with the most connections loses the
//! one that is idle longest. A connection in the middle of a request with a good token stays. A small part of the
//! seats is kept for newcomers, who would otherwise push each other out before they can show their token.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

use partywall_model::TenantId;
use tokio::sync::Notify;

use super::{Over, SOME_TIME};
use crate::guards::disclosure::Denial;

/// The seats of a listener.
pub(crate) struct Seats {
    most: usize,
    start: Instant,
    table: Mutex<Table>,
    /// How many were closed to make room, and how many were not let in because nobody could go.
    closed: AtomicU64,
    turned_away: AtomicU64,
    taken: AtomicUsize,
}

#[derive(Default)]
struct Table {
    /// Numbers go up, so the first of these is open longest.
    next: u64,
    strangers: Group,
    known: BTreeMap<TenantId, Group>,
    /// Connections that several tenants use: a proxy's.
    shared: Group,
    /// The tenants by how many seats they have, and the sum.
    by_size: BTreeSet<(usize, TenantId)>,
    seated: usize,
}

type Group = BTreeMap<u64, Arc<Seat>>;

/// One connection.
pub(crate) struct Seat {
    number: u64,
    seats: Weak<Seats>,
    /// The start of the seats, by which all of them tell the time.
    start: Instant,
    /// Whose good token came first.
    owner: OnceLock<TenantId>,
    shared: AtomicBool,
    /// Requests under way.
    busy: AtomicU32,
    /// Milliseconds from `start` to the end of the last request.
    used: AtomicU64,
    leave: AtomicU8,
    asked: Notify,
}

/// How a connection is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leave {
    Not = 0,
    /// When the requests under way have ended.
    Soon = 1,
    Now = 2,
}

/// A request under way on a connection.
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.used.store(millis(self.0.start), Relaxed);
        self.0.busy.fetch_sub(1, Release);
    }
}

/// A connection that is open; its seat is free again when this is dropped.
pub(crate) struct Seated(pub(crate) Arc<Seat>);

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(seats) = self.0.seats.upgrade() {
            seats.lock().remove(&self.0);
            seats.taken.fetch_sub(1, AcqRel);
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Seats {
    /// The part of the seats that is kept for newcomers.
    const NEWCOMERS: usize = 16;
    /// How many tenants are looked at for a connection that is idle.
    const LOOK: usize = 8;

    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            start: Instant::now(),
            table: Mutex::default(),
            closed: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seats a new connection; `None` when everybody is in the middle of something.
    pub(crate) fn open(self: &Arc<Self>) -> Option<Seated> {
        let mut table = self.lock();
        if table.len() >= self.most && !self.make_room(&mut table) {
            self.turned_away.fetch_add(1, Relaxed);
            return None;
        }
        table.next += 1;
        let seat = Arc::new(Seat {
            number: table.next,
            seats: Arc::downgrade(self),
            start: self.start,
            owner: OnceLock::new(),
            shared: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            used: AtomicU64::new(millis(self.start)),
            leave: AtomicU8::new(Leave::Not as u8),
            asked: Notify::new(),
        });
        table.strangers.insert(seat.number, Arc::clone(&seat));
        self.taken.fetch_add(1, AcqRel);
        Some(Seated(seat))
    }

    /// Asks one connection to end, and counts its seat as free.
    fn make_room(&self, table: &mut Table) -> bool {
        let stranger = |table: &Table| table.strangers.values().next().map(Arc::clone);
        let plenty = table.strangers.len() > self.most / Self::NEWCOMERS;
        let first = if plenty { stranger(table) } else { table.longest_idle() };
        let Some(seat) = first.or_else(|| stranger(table)) else { return false };
        table.remove(&seat);
        let known = seat.owner.get().is_some();
        seat.ask(if known { Leave::Soon } else { Leave::Now });
        self.closed.fetch_add(1, Relaxed);
        true
    }

    /// Asks every connection to end.
    pub(crate) fn ask_all(&self, leave: Leave) {
        let table = self.lock();
        let known = table.known.values().flat_map(Group::values);
        for seat in table.strangers.values().chain(known).chain(table.shared.values()) {
            seat.ask(leave);
        }
    }

    /// How many connections are open.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Acquire)
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        format!(
            "# HELP partywall_connections Open connections.\n\
             # TYPE partywall_connections gauge\n\
             partywall_connections {}\n\
             # HELP partywall_connections_closed_total Connections that were closed to make room for others.\n\
             # TYPE partywall_connections_closed_total counter\n\
             partywall_connections_closed_total {}\n\
             # HELP partywall_connections_refused_total Connections for which no room could be made.\n\
             # TYPE partywall_connections_refused_total counter\n\
             partywall_connections_refused_total {}\n",
            self.taken(),
            self.closed.load(Relaxed),
            self.turned_away.load(Relaxed),
        )
    }
}

impl Table {
    fn len(&self) -> usize {
        self.strangers.len() + self.shared.len() + self.seated
    }

    /// Takes a connection off the table; whether it was there.
    fn remove(&mut self, seat: &Seat) -> bool {
        if self.strangers.remove(&seat.number).is_some() || self.shared.remove(&seat.number).is_some() {
            return true;
        }
        let Some(tenant) = seat.owner.get() else { return false };
        let Some(group) = self.known.get_mut(tenant) else { return false };
        let before = group.len();
        if group.remove(&seat.number).is_none() {
            return false;
        }
        if group.is_empty() {
            self.known.remove(tenant);
        }
        self.by_size.remove(&(before, tenant.clone()));
        if before > 1 {
            self.by_size.insert((before - 1, tenant.clone()));
        }
        self.seated -= 1;
        true
    }

    fn seat(&mut self, tenant: &TenantId, seat: &Arc<Seat>) {
        let group = self.known.entry(tenant.clone()).or_default();
        let before = group.len();
        group.insert(seat.number, Arc::clone(seat));
        self.by_size.remove(&(before, tenant.clone()));
        self.by_size.insert((before + 1, tenant.clone()));
        self.seated += 1;
    }

    /// Of those who have most connections, the one that did nothing for the longest time.
    fn longest_idle(&self) -> Option<Arc<Seat>> {
        let idle = |group: &Group| {
            let idle = group.values().filter(|seat| seat.busy.load(Acquire) == 0);
            idle.min_by_key(|seat| seat.used.load(Relaxed)).map(Arc::clone)
        };
        let most = self.by_size.last().map_or(0, |(size, _)| *size);
        let shared = || idle(&self.shared);
        let tenants = || {
            let largest = self.by_size.iter().rev().take(Seats::LOOK);
            largest.filter_map(|(_, tenant)| self.known.get(tenant)).find_map(idle)
        };
        if self.shared.len() >= most { shared().or_else(tenants) } else { tenants().or_else(shared) }
    }
}

impl Seat {
    /// Notes whose good token came on this connection. One that several tenants use is nobody's own.
    ///
    /// # Errors
    /// When the tenant has as many connections as it may.
    pub(crate) fn take(self: &Arc<Self>, tenant: &TenantId, share: Option<usize>) -> Result<(), Denial> {
        match self.owner.get() {
            Some(owner) if owner == tenant || self.shared.load(Relaxed) => return Ok(()),
            _ => {}
        }
        let most = |seats: &Seats| share.unwrap_or(seats.most / 4).clamp(1, seats.most);
        let over = |most| Over::Connections { most }.denial(SOME_TIME);
        let Some(seats) = self.seats.upgrade() else { return Err(over(0)) };
        let mut table = seats.lock();
        match self.owner.get() {
            Some(owner) if owner == tenant => {}
            Some(_) => {
                if table.remove(self) {
                    table.shared.insert(self.number, Arc::clone(self));
                }
                self.shared.store(true, Relaxed);
            }
            None => {
                let most = most(&seats);
                let full = table.known.get(tenant).is_some_and(|group| group.len() >= most);
                // One that is not there was asked to end meanwhile.
                if full || !table.remove(self) {
                    return Err(over(most));
                }
                table.seat(tenant, self);
                let _first = self.owner.set(tenant.clone());
            }
        }
        Ok(())
    }

    /// Whether a good token came.
    pub(crate) fn is_known(&self) -> bool {
        self.owner.get().is_some()
    }

    /// Whether it may be ended for what a tenant, or somebody unknown, does: no good token of anybody else came on it.
    pub(crate) fn is_left_to(&self, tenant: Option<&TenantId>) -> bool {
        match self.owner.get() {
            None => true,
            Some(owner) => tenant == Some(owner) && !self.shared.load(Relaxed),
        }
    }

    /// Marks the connection as busy until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Acquire);
        Busy(Arc::clone(self))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Acquire) > 0
    }

    /// Asks the connection to end.
    pub(crate) fn ask(&self, leave: Leave) {
        self.leave.fetch_max(leave as u8, AcqRel);
        self.asked.notify_one();
    }

    /// Waits until the connection is asked to end.
    pub(crate) async fn asked(&self) -> Leave {
        self.asked.notified().await;
        match self.leave.load(Acquire) {
            0 => Leave::Not,
            1 => Leave::Soon,
            _ => Leave::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TenantId {
        TenantId::parse(text).unwrap()
    }

    fn asked(seat: &Seated) -> u8 {
        seat.0.leave.load(Acquire)
    }

    /// Connections of a tenant, each a little later idle than the one before.
    fn guests(seats: &Arc<Seats>, tenant: &str, many: usize) -> Vec<Seated> {
        let guests: Vec<_> = (0..many).map(|_| seats.open().expect("room")).collect();
        for (n, guest) in guests.iter().enumerate() {
            guest.0.take(&id(tenant), None).expect("within its share");
            drop(guest.0.begin());
            guest.0.used.store(n as u64 + 1, Relaxed);
        }
        guests
    }

    #[test]
    fn strangers_make_room_first_the_longest_open_one_before_others() {
        let seats = Seats::new(12);
        let acme = guests(&seats, "acme", 3);
        let strangers: Vec<_> = (0..9).map(|_| seats.open().unwrap()).collect();
        let _new: Vec<_> = (0..2).map(|_| seats.open().unwrap()).collect();
        assert_eq!(strangers.iter().map(asked).collect::<Vec<_>>(), [2, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert!(acme.iter().all(|seat| asked(seat) == 0));
        assert!(strangers[0].0.take(&id("acme"), Some(9)).is_err(), "it comes too late");
    }

    #[test]
    fn then_the_largest_tenant_loses_its_longest_idle_connection() {
        let seats = Seats::new(12);
        let (acme, globex) = (guests(&seats, "acme", 3), guests(&seats, "globex", 3));
        let _more = [guests(&seats, "initech", 3), guests(&seats, "hooli", 2)];
        let extra = seats.open().unwrap();
        extra.0.take(&id("acme"), Some(4)).unwrap();
        extra.0.used.store(9, Relaxed);
        let working = acme[0].0.begin();
        let first = seats.open().unwrap();
        assert_eq!(acme.iter().map(asked).collect::<Vec<_>>(), [0, 1, 0], "not the one that works");
        assert!(globex.iter().all(|seat| asked(seat) == 0));
        // The newcomer is a stranger, and the next to go.
        let _second = seats.open().unwrap();
        assert_eq!(asked(&first), 2);
        drop(working);
    }

    #[test]
    fn a_large_table_keeps_some_seats_for_newcomers() {
        let seats = Seats::new(160);
        let all: Vec<_> = (0..40).flat_map(|n| guests(&seats, &format!("t{n}"), 4)).collect();
        let newcomers: Vec<_> = (0..11).map(|_| seats.open().unwrap()).collect();
        assert!(newcomers.iter().all(|seat| asked(seat) == 0));
        assert_eq!(all.iter().filter(|seat| asked(seat) == 1).count(), 11);
        let _one_more = seats.open().unwrap();
        assert_eq!(asked(&newcomers[0]), 2);
    }

    #[test]
    fn when_everybody_works_nobody_is_let_in_and_seats_come_back() {
        let seats = Seats::new(2);
        let held: Vec<_> = ["acme", "globex"].into_iter().flat_map(|name| guests(&seats, name, 1)).collect();
        let work: Vec<_> = held.iter().map(|seat| seat.0.begin()).collect();
        assert!(seats.open().is_none());
        drop(work);
        assert!(seats.open().is_some());
        drop(held);
        assert_eq!((seats.taken(), seats.lock().len()), (0, 0));
        assert!(seats.lock().known.is_empty() && seats.lock().by_size.is_empty());
    }

    #[test]
    fn a_tenant_has_a_share_and_a_proxys_connections_are_nobodys() {
        let seats = Seats::new(8);
        let acme = guests(&seats, "acme", 2);
        let third = seats.open().unwrap();
        assert_eq!(third.0.take(&id("acme"), None).unwrap_err().reason(), "connections");
        assert!(!third.0.is_known());
        third.0.take(&id("globex"), None).unwrap();
        acme[0].0.take(&id("globex"), None).unwrap();
        assert_eq!(seats.lock().known[&id("acme")].len(), 1);
        assert_eq!(seats.lock().shared.len(), 1);
        assert!(seats.open().unwrap().0.take(&id("acme"), None).is_ok());
        drop(acme);
        assert_eq!(seats.lock().shared.len(), 0);
    }
}
