//! A relay for connections: it ends them when it is cut, and in the middle of anything when it is
//! disturbed.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::chance::Chance;
use crate::rough::Weather;

/// Starts a relay, and says where it listens.
pub(crate) fn relay(weather: Weather) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free address");
    listener.set_nonblocking(true).expect("no waiting");
    let address = listener.local_addr().expect("an address").to_string();
    let listener = TcpListener::from_std(listener).expect("a listener");
    tokio::spawn(accept(listener, weather));
    address
}

async fn accept(listener: TcpListener, weather: Weather) {
    while let Ok((caller, _)) = listener.accept().await {
        if !weather.is_cut() {
            tokio::spawn(connect(caller, weather.clone()));
        }
    }
}

async fn connect(mut caller: TcpStream, weather: Weather) {
    let Ok(mut called) = TcpStream::connect(weather.destination()).await else {
        return;
    };
    let (from_caller, to_caller) = caller.split();
    let (from_called, to_called) = called.split();
    let there = carry(from_caller, to_called, weather.clone());
    let back = carry(from_called, to_caller, weather.clone());
    let mut weather = weather;
    tokio::select! {
        // First, so that not a byte passes after the cut.
        biased;
        _ = weather.open.wait_for(|open| !open) => {}
        // Whatever has ended it: the connection is over.
        _ = async { tokio::try_join!(there, back) } => {}
    }
}

/// What is to happen to a connection after some more bytes.
struct Trouble {
    after: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// It ends there.
    Breaks,
    /// The byte before is another one, and soon after that the connection ends.
    Alters,
}

/// Up to 8 MiB: more than a part of a snapshot.
const PASSING_POWER_MAX: u64 = 23;
/// What may pass between an altered byte and the end.
const SOON_BYTES: usize = 64 << 10;

/// Carries bytes one way, until they end or trouble comes.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: Weather,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut trouble = None;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let (bytes, _) = buffer.split_at_mut(read);
        let drawn = weather.disturbed(|chance| trouble.take().unwrap_or_else(|| draw(chance)));
        trouble = drawn;
        let Some(due) = trouble.as_mut().filter(|trouble| trouble.after <= read) else {
            if let Some(trouble) = &mut trouble {
                trouble.after -= read;
            }
            to.write_all(bytes).await?;
            continue;
        };
        let (before, rest) = bytes.split_at_mut(due.after);
        match due.kind {
            Kind::Breaks => {
                to.write_all(before).await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Kind::Alters => {
                if let Some(last) = before.last_mut() {
                    *last ^= 0x10;
                }
                to.write_all(before).await?;
                to.write_all(rest).await?;
                let after = weather.disturbed(|chance| chance.index(SOON_BYTES));
                trouble = after.map(|after| Trouble {
                    after,
                    kind: Kind::Breaks,
                });
            }
        }
    }
}

fn draw(chance: &mut Chance) -> Trouble {
    let kind = match chance.below(4) {
        0 => Kind::Alters,
        _ => Kind::Breaks,
    };
    // Little is as likely as much.
    let about = 1 << chance.below(PASSING_POWER_MAX);
    let after = about + chance.index(about);
    Trouble { after, kind }
}
