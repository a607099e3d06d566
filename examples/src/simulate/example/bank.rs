//! A small bank as a state machine, and what its customers do. Some banks have a bug.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use raft_core::codec;
use raft_core::sim::{Chance, Observed, Operation, Workload};
use raft_core::state_machine::{SnapshotView, StateMachineError};
use raft_core::typed::{At, Machine, Typed};
use serde::{Deserialize, Serialize};

/// Accounts by number. Every tenth transfer costs its sender one coin, which the bank keeps.
#[derive(Debug, Default)]
pub(super) struct Bank {
    accounts: BTreeMap<u8, u64>,
    transfers: u64,
    fees: u64,
    bug: Option<Bug>,
}

/// What is wrong with a bank.
#[derive(Clone, Debug)]
pub(super) enum Bug {
    /// Its snapshot lacks how many transfers there were.
    ForgetsTransfers,
    /// It numbers receipts by a counter of the process, not of its state.
    SharesCounter(Arc<AtomicU64>),
    /// Whoever sends money to oneself gets richer.
    PaysTwice,
}

/// What is replicated.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Deposit { to: u8, coins: u64 },
    Transfer { from: u8, to: u8, coins: u64 },
}

/// What the customer is told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Receipt {
    Deposited { balance: u64 },
    Transferred { number: u64, fee: u64 },
    Refused { balance: u64 },
}

const FEE_EVERY: u64 = 10;

impl Bank {
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Self {
            bug,
            ..Self::default()
        }
    }

    fn balance(&self, account: u8) -> u64 {
        self.accounts.get(&account).copied().unwrap_or(0)
    }

    fn transfer(&mut self, from: u8, to: u8, coins: u64) -> Receipt {
        let fee = u64::from((self.transfers + 1).is_multiple_of(FEE_EVERY));
        let (ours, theirs) = (self.balance(from), self.balance(to));
        if ours < coins + fee {
            return Receipt::Refused { balance: ours };
        }
        self.transfers += 1;
        self.fees += fee;
        self.accounts.insert(from, ours - coins - fee);
        let theirs = match self.bug {
            Some(Bug::PaysTwice) => theirs,
            _ => self.balance(to),
        };
        self.accounts.insert(to, theirs + coins);
        let number = match &self.bug {
            Some(Bug::SharesCounter(counter)) => counter.fetch_add(1, Ordering::Relaxed),
            _ => self.transfers,
        };
        Receipt::Transferred { number, fee }
    }
}

impl Machine for Bank {
    type Command = Command;
    type Response = Receipt;

    fn apply(&mut self, _: At, command: Command) -> Receipt {
        match command {
            Command::Deposit { to, coins } => {
                let balance = self.accounts.entry(to).or_default();
                *balance += coins;
                Receipt::Deposited { balance: *balance }
            }
            Command::Transfer { from, to, coins } => self.transfer(from, to, coins),
        }
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        let transfers = match self.bug {
            Some(Bug::ForgetsTransfers) => 0,
            _ => self.transfers,
        };
        let state = (&self.accounts, transfers, self.fees);
        let bytes = codec::encode("bank", &state).map_err(StateMachineError::new)?;
        Ok(SnapshotView::of_bytes(bytes))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        (self.accounts, self.transfers, self.fees) =
            codec::decode("bank", &bytes).map_err(StateMachineError::new)?;
        Ok(())
    }
}

/// What the customers do. It counts what was deposited: no more may ever be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Customers {
    deposited: u64,
}

const ACCOUNTS: u64 = 5;

impl Workload<Typed<Bank>> for Customers {
    fn next(&mut self, _: u64, chance: &mut Chance) -> Operation {
        let mut account = || u8::try_from(chance.below(ACCOUNTS)).unwrap_or(0);
        let (from, to) = (account(), account());
        let coins = chance.between(1, 20);
        match chance.below(4) {
            0 => Operation::typed(&Command::Deposit { to, coins }),
            1 => Operation::read(vec![from]),
            _ => Operation::typed(&Command::Transfer { from, to, coins }),
        }
    }

    /// The balance of the account, and everything that is in the bank.
    fn read(&self, bank: &Typed<Bank>, query: &[u8]) -> Bytes {
        let account = query.first().copied().unwrap_or(0);
        let text = format!("{} of {}", bank.0.balance(account), total(&bank.0));
        text.into()
    }

    fn check(&mut self, observed: &Observed<'_>) -> Result<(), String> {
        match observed {
            Observed::Applied { command, .. } => {
                let command =
                    codec::decode("command", command).map_err(|error| error.to_string())?;
                if let Command::Deposit { coins, .. } = command {
                    self.deposited += coins;
                }
                Ok(())
            }
            Observed::Read { answer, .. } => {
                let expected = format!(" of {}", self.deposited);
                if answer.ends_with(expected.as_bytes()) {
                    return Ok(());
                }
                let deposited = self.deposited;
                let answer = answer.escape_ascii();
                Err(format!(
                    "{deposited} coins were deposited, and the bank has {answer}"
                ))
            }
            _ => Ok(()),
        }
    }

    fn show_command(&self, command: &[u8]) -> String {
        codec::decode::<Command>("command", command)
            .map_or_else(|_| format!("account {command:?}"), |it| format!("{it:?}"))
    }

    fn show_response(&self, response: &[u8]) -> String {
        match codec::decode::<Receipt>("response", response) {
            Ok(receipt) => format!("{receipt:?}"),
            Err(_) => response.escape_ascii().to_string(),
        }
    }
}

fn total(bank: &Bank) -> u64 {
    bank.accounts.values().sum::<u64>() + bank.fees
}
