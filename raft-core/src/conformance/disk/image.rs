//! The disk as the shim saw it used, and what a loss of power leaves of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::medium::{Crash, Files, Medium, MediumFile, SECTOR_BYTES};
use super::script::Told;
use super::trace::Record;

/// Files and folders on a [`Medium`], where each has a file by the name of its number. That of a folder
/// holds what happened to its names, one event a sector, and becomes durable with the folder's sync:
/// so a loss of power leaves of names what it leaves of bytes.
#[derive(Default)]
pub(super) struct Disk {
    medium: Medium,
    /// By the system's numbers, which it gives again to others.
    inodes: BTreeMap<u64, Node>,
    /// What was there from the beginning.
    base: Names,
    /// What the running system sees.
    current: Names,
    events: Vec<Event>,
    synced: BTreeSet<Node>,
    last: Node,
    timeline: Vec<(usize, Told)>,
}

/// A file or a folder.
type Node = u64;
/// What lies in each folder.
type Names = BTreeMap<Node, BTreeMap<String, Node>>;

/// The folder that is watched.
const ROOT: Node = 0;

/// What happens to one folder, as a whole or not at all.
struct Event {
    changes: Vec<(String, Option<Node>)>,
}

impl Event {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        for (name, node) in &self.changes {
            match node {
                Some(node) => drop(names.insert(name.clone(), *node)),
                None => drop(names.remove(name)),
            }
        }
    }
}

impl Disk {
    /// With all that lies in `directory`, durably.
    pub(super) fn holding(directory: &Path) -> Self {
        let mut disk = Self::default();
        let mut files = Files::new();
        disk.find(ROOT, directory, &mut files);
        disk.medium = Medium::holding(files);
        disk.base.clone_from(&disk.current);
        disk.timeline.push((0, Told::default()));
        disk
    }

    fn find(&mut self, folder: Node, path: &Path, files: &mut Files) {
        let inode = fs::metadata(path).expect("the folder is there").ino();
        self.inodes.insert(inode, folder);
        self.current.insert(folder, BTreeMap::new());
        files.insert(folder.to_string(), Vec::new());
        for item in fs::read_dir(path).expect("the folder is read") {
            let item = item.expect("the folder is read");
            let node = self.next_node();
            let name = item.file_name().to_string_lossy().into_owned();
            self.current.entry(folder).or_default().insert(name, node);
            if item.path().is_dir() {
                self.find(node, &item.path(), files);
                continue;
            }
            let inode = item.metadata().expect("the file is there").ino();
            self.inodes.insert(inode, node);
            files.insert(
                node.to_string(),
                fs::read(item.path()).expect("the file is read"),
            );
        }
    }

    fn next_node(&mut self) -> Node {
        self.last += 1;
        self.last
    }

    /// What the child had told after everything so far.
    pub(super) fn at_this_moment(&mut self, told: Told) {
        self.timeline.push((self.medium.operations(), told));
    }

    /// Follows the running system.
    pub(super) fn take(&mut self, record: &Record) {
        let known = self.inodes.get(&record.inode).copied();
        match (record.kind, known) {
            (b'C' | b'M', _) => self.create(record),
            (b'R', _) => self.rename(record),
            (b'U', _) => self.remove(record),
            (b'W', Some(node)) => {
                let written = self.file(node).write_at(record.number, &record.bytes);
                written.expect("the medium has power");
            }
            (b'L', Some(node)) if self.file(node).len() != record.number => {
                let done = self.file(node).set_len(record.number);
                done.expect("the medium has power");
            }
            (b'S', Some(node)) => {
                self.synced.insert(node);
                self.file(node).sync().expect("the medium has power");
            }
            // Of a file, the system gives up what it could not write. Names are in its journal: either
            // a later sync of the folder writes them, or nothing is ever written again.
            (b'X', Some(node)) if !self.current.contains_key(&node) => {
                self.medium.fail_next_sync();
                let failed = self.file(node).sync();
                failed.expect_err("the medium does as it was told");
            }
            // A length that does not change; or a file that was made by other calls than we see. If it
            // matters, it is synced, and then `assert_complete` misses it.
            (b'L' | b'W' | b'S' | b'X', _) => {}
            (kind, _) => unreachable!("the shim writes no records of kind {kind}"),
        }
    }

    fn file(&self, node: Node) -> MediumFile {
        self.medium.file(&node.to_string())
    }

    fn create(&mut self, record: &Record) {
        let node = self.next_node();
        self.inodes.insert(record.inode, node);
        self.medium.file(&node.to_string());
        if record.kind == b'M' {
            self.base.insert(node, BTreeMap::new());
            self.current.insert(node, BTreeMap::new());
        }
        let path = text(record);
        let (folder, name) = self.split(&path);
        self.happen(folder, vec![(name, Some(node))]);
    }

    fn rename(&mut self, record: &Record) {
        let paths = text(record);
        let (from, to) = paths.split_once('\n').expect("two paths");
        let ((folder, from), (folder_to, to)) = (self.split(from), self.split(to));
        assert_eq!(
            folder, folder_to,
            "a rename into another folder is not modelled"
        );
        if let Some(node) = self.look_up(folder, &from) {
            self.happen(folder, vec![(from, None), (to, Some(node))]);
        }
    }

    fn remove(&mut self, record: &Record) {
        let path = text(record);
        let (folder, name) = self.split(&path);
        if self.look_up(folder, &name).is_some() {
            self.happen(folder, vec![(name, None)]);
        }
    }

    fn happen(&mut self, folder: Node, changes: Vec<(String, Option<Node>)>) {
        let event = Event { changes };
        event.apply(self.current.entry(folder).or_default());
        self.events.push(event);
        let mut sector = (self.events.len() as u64).to_le_bytes().to_vec();
        sector.resize(SECTOR_BYTES, 0);
        let log = self.file(folder);
        let written = log.write_at(log.len(), &sector);
        written.expect("the medium has power");
    }

    /// The folder of a path, and the name in it.
    fn split(&self, path: &str) -> (Node, String) {
        let mut folder = ROOT;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return (folder, name.to_owned());
            }
            let found = self.look_up(folder, name);
            folder = found.unwrap_or_else(|| unreachable!("nobody has made the folder of {path}"));
        }
        unreachable!("a path has a name")
    }

    fn look_up(&self, folder: Node, name: &str) -> Option<Node> {
        self.current.get(&folder)?.get(name).copied()
    }

    /// Whatever was synced must have been seen: who writes in other ways (through memory, or a ring of
    /// the kernel) is not watched by this shim, and must not be believed to be.
    pub(super) fn assert_complete(&self, directory: &Path) {
        let (files, mut seen) = (self.medium.files(), 0);
        let mut folders = vec![(ROOT, directory.to_path_buf())];
        while let Some((folder, path)) = folders.pop() {
            for item in fs::read_dir(&path).expect("the folder is read") {
                let path = item.expect("the folder is read").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let node = self.look_up(folder, &name);
                match node {
                    Some(node) if path.is_dir() => folders.push((node, path)),
                    Some(node) if self.synced.contains(&node) => {
                        let found = fs::read(&path).expect("the file is read");
                        let same = files.get(&node.to_string()) == Some(&found);
                        assert!(same, "{} was written past the shim", path.display());
                        seen += 1;
                    }
                    Some(_) | None => {}
                }
            }
        }
        assert!(
            seen > 0,
            "no file below {} was ever synced",
            directory.display()
        );
    }

    /// What each loss of power would leave, see [`Medium::crashes`]; about `most` of them.
    pub(super) fn crashes(&self, most: usize) -> impl Iterator<Item = Crash> {
        let all = self.medium.crashes(1).count();
        self.medium.crashes(1).step_by(all.div_ceil(most).max(1))
    }

    /// Writes into `directory` what a loss of power has left.
    pub(super) fn lay_out(&self, left: &Files, directory: &Path) {
        self.lay_out_folder(ROOT, left, directory);
    }

    fn lay_out_folder(&self, folder: Node, left: &Files, path: &Path) {
        let mut names = self.base.get(&folder).cloned().unwrap_or_default();
        let log = left.get(&folder.to_string()).map_or(&[][..], Vec::as_slice);
        for sector in log.chunks(SECTOR_BYTES) {
            if let Some(event) = self.event(sector) {
                event.apply(&mut names);
            }
        }
        for (name, node) in names {
            let path = path.join(name);
            if self.current.contains_key(&node) {
                fs::create_dir(&path).expect("the folder is created");
                self.lay_out_folder(node, left, &path);
                continue;
            }
            let content = left.get(&node.to_string()).map_or(&[][..], Vec::as_slice);
            fs::write(&path, content).expect("the file is written");
        }
    }

    /// The event in a sector of a folder's file: none if it has not reached the medium.
    fn event(&self, sector: &[u8]) -> Option<&Event> {
        let number = u64::from_le_bytes(*sector.first_chunk::<8>()?);
        let event = self
            .events
            .get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(event)
    }

    /// What was certainly left when the child had ended.
    pub(super) fn synced_files(&self) -> Files {
        self.medium.synced_files()
    }

    /// What had been told at the latest moment of this crash.
    pub(super) fn told_at(&self, crash: &Crash) -> Told {
        let mut before = self.timeline.iter().rev();
        let found = before.find(|(operations, _)| *operations <= crash.operations);
        found.expect("it begins before every crash").1
    }
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(&record.bytes).into_owned()
}
