//! Whole nodes: on memory stores and a network within the process, with time that passes only when
//! everybody waits, unless a test is about threads that block.

#[cfg(test)]
mod backups;
#[cfg(test)]
mod checked_backups;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod events;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod misuse;
#[cfg(test)]
mod on_disk;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod restorations;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod start;
#[cfg(test)]
mod support;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod typed;
