//! A context that was not given by the dispatcher.
use std::marker::PhantomData;

use partywall_gateway::{Cx, admit::Permit};

fn forge<'t>(permit: &'t Permit) -> Cx<'t> {
    Cx { scope: permit, brand: PhantomData }
}

fn make<'t>(permit: &'t Permit) -> Cx<'t> {
    Cx::new(permit)
}

fn main() {}
