//! Dollars and the other limits: what is spent, set aside and left, what an attempt is billed with, and the sums. What
//! is done about a limit that is reached is in [`super::moves::enforce`].

pub(crate) mod accounts;
pub(crate) mod bill;
pub(crate) mod counted;
pub(crate) mod dearest;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod under_way;
pub(crate) mod usage;
