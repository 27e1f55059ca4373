//! A value of one call in another call's reply.
use partywall_gateway::{Cx, Owned, Reply};

fn mixed<'a, 'b>(mine: Cx<'a>, theirs: Owned<'b, String>) -> Reply<'a> {
    mine.text(mine.own(String::new()).zip(theirs).map(|(mine, theirs)| mine + &theirs))
}

fn lent<'a, 'b: 'a>(mine: Cx<'a>, theirs: Owned<'b, String>) -> Owned<'a, (String, String)> {
    // Not even when the other call outlives this one.
    mine.own(String::new()).zip(theirs)
}

fn main() {}
