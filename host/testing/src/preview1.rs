//! Programs for WASI 0.1 that call its functions one by one and say which of them answers otherwise than it should.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// The call succeeded. The first constants are the error numbers of the standard, which the functions return.
pub const SUCCESS: u16 = 0;
/// Permission denied.
pub const ACCES: u16 = 2;
/// Bad file descriptor.
pub const BADF: u16 = 8;
/// The file exists.
pub const EXIST: u16 = 20;
/// Illegal byte sequence.
pub const ILSEQ: u16 = 25;
/// Invalid argument.
pub const INVAL: u16 = 28;
/// Is a directory.
pub const ISDIR: u16 = 31;
/// Too many levels of symbolic links.
pub const LOOP: u16 = 32;
/// The name is too long.
pub const NAMETOOLONG: u16 = 37;
/// No such file or directory.
pub const NOENT: u16 = 44;
/// Not a directory.
pub const NOTDIR: u16 = 54;
/// The directory is not empty.
pub const NOTEMPTY: u16 = 55;
/// Not a socket.
pub const NOTSOCK: u16 = 57;
/// Not supported.
pub const NOTSUP: u16 = 58;
/// Operation not permitted.
pub const PERM: u16 = 63;
/// A read-only file system.
pub const ROFS: u16 = 69;
/// Invalid seek.
pub const SPIPE: u16 = 70;
/// The capabilities are insufficient.
pub const NOTCAPABLE: u16 = 76;

/// Flag of `path_open`: create the file.
pub const CREAT: u64 = 1;
/// Flag of `path_open`: fail if it is not a directory.
pub const DIRECTORY: u64 = 2;
/// Flag of `path_open`: fail if it exists.
pub const EXCL: u64 = 4;
/// Flag of `path_open`: truncate the file.
pub const TRUNC: u64 = 8;

/// The right to read.
pub const FD_READ: u64 = 1 << 1;
/// The right to write.
pub const FD_WRITE: u64 = 1 << 6;
/// What a file that is read and written has.
pub const READ_WRITE: u64 = FD_READ | FD_WRITE | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 21 | 1 << 22 | 1 << 23;

/// Descriptor flag: append.
pub const APPEND: u64 = 1;
/// Descriptor flag: do not block.
pub const NONBLOCK: u64 = 4;

/// Lookup flag: follow symbolic links.
pub const FOLLOW: u64 = 1;

/// File type: directory.
pub const TYPE_DIRECTORY: u64 = 3;
/// File type: regular file.
pub const TYPE_FILE: u64 = 4;
/// File type: symbolic link.
pub const TYPE_LINK: u64 = 7;

/// The first preopen.
pub const DIR: Arg<'static> = Arg::N(3);

/// What the functions take: `i` is an i32, `I` an i64. All of them return an errno but `proc_exit`.
const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// An argument. Texts, and what is read or written, stand for two.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// A number.
    N(u64),
    /// A text, by its address and length.
    Text(&'a str),
    /// The same, of any bytes.
    Raw(&'a [u8]),
    /// The address of the place of this name, which has 64 bytes unless it was made larger.
    Out(&'a str),
    /// The number of 32 bits that the place holds.
    Fd(&'a str),
    /// The number of 64 bits that the place holds so many bytes after its beginning.
    Wide(&'a str, u32),
    /// One buffer that is written.
    Write(&'a [u8]),
    /// One buffer of that size, in the place of this name, that is read into.
    Read(&'a str, u32),
    /// Several buffers that are written.
    Writes(&'a [&'a [u8]]),
    /// Several buffers of these sizes, one after another in the place of this name.
    Reads(&'a str, &'a [u32]),
}

/// A program that grows call by call.
#[derive(Default)]
pub struct Program {
    body: String,
    memory: Vec<u8>,
    places: BTreeMap<String, u32>,
    used: BTreeSet<&'static str>,
    steps: usize,
    reports: bool,
}

/// Where the memory that the program fills begins.
const BASE: u32 = 1024;

impl Program {
    /// Calls `function`, which must answer with one of `wanted`.
    pub fn call(&mut self, function: &str, args: &[Arg<'_>], wanted: &[u16]) -> &mut Self {
        let (name, signature) = FUNCTIONS.iter().find(|(name, _)| *name == function).expect("a function of WASI 0.1");
        self.used.insert(name);
        let mut values = String::new();
        let mut kinds = signature.chars();
        for arg in args {
            for value in self.values(*arg) {
                let kind = kinds.next().unwrap_or_else(|| panic!("{function} takes fewer arguments"));
                values.push(' ');
                values.push_str(&match value {
                    Value::Constant(number) if kind == 'I' => format!("(i64.const {})", number.cast_signed()),
                    Value::Constant(number) => format!("(i32.const {})", u32::try_from(number).unwrap()),
                    Value::Code(code) => code,
                });
            }
        }
        assert_eq!(kinds.next(), None, "{function} takes more arguments");
        self.check(&format!("(call ${name}{values})"), wanted, function)
    }

    /// Calls `function`, which must succeed.
    pub fn ok(&mut self, function: &str, args: &[Arg<'_>]) -> &mut Self {
        self.call(function, args, &[SUCCESS])
    }

    /// Opens `path` in `dir` into the place `to`. What is opened has all rights of `rights`, as what is in it.
    pub fn open(&mut self, dir: Arg<'_>, path: &str, oflags: u64, rights: u64, to: &str) -> &mut Self {
        self.try_open(dir, path, (0, oflags, rights, 0), to, &[SUCCESS])
    }

    /// Opens `path` with these look-up flags, open flags, rights and fd flags.
    pub fn try_open(
        &mut self,
        dir: Arg<'_>,
        path: &str,
        (lookup, oflags, rights, fdflags): (u64, u64, u64, u64),
        to: &str,
        wanted: &[u16],
    ) -> &mut Self {
        let [lookup, oflags, rights, fdflags] = [lookup, oflags, rights, fdflags].map(Arg::N);
        let args = [dir, lookup, Arg::Text(path), oflags, rights, rights, fdflags, Arg::Out(to)];
        self.call("path_open", &args, wanted)
    }

    /// Makes an empty file.
    pub fn file(&mut self, path: &str) -> &mut Self {
        self.open(DIR, path, CREAT, FD_WRITE, "made").ok("fd_close", &[Arg::Fd("made")])
    }

    /// A place holds this number of 8, 16, 32 or 64 bits.
    pub fn holds(&mut self, place: &str, offset: u32, bits: u32, wanted: u64) -> &mut Self {
        let at = self.place(place, 64) + offset;
        let load = match bits {
            8 => format!("(i64.load8_u (i32.const {at}))"),
            16 => format!("(i64.load16_u (i32.const {at}))"),
            32 => format!("(i64.load32_u (i32.const {at}))"),
            _ => format!("(i64.load (i32.const {at}))"),
        };
        let differs = format!("(i64.ne {load} (i64.const {}))", wanted.cast_signed());
        self.check(&differs, &[0], &format!("{place}+{offset} is not {wanted}"))
    }

    /// A place holds one of these numbers of 32 bits.
    pub fn holds_one_of(&mut self, place: &str, wanted: &[u16]) -> &mut Self {
        let at = self.place(place, 64);
        self.check(&format!("(i32.load (i32.const {at}))"), wanted, place)
    }

    /// Of the number of 64 bits that a place holds, these bits are set, and these are not.
    pub fn has_bits(&mut self, place: &str, offset: u32, set: u64, unset: u64) -> &mut Self {
        let at = self.place(place, 64) + offset;
        let (mask, set) = ((set | unset).cast_signed(), set.cast_signed());
        let differs = format!("(i64.ne (i64.and (i64.load (i32.const {at})) (i64.const {mask})) (i64.const {set}))");
        self.check(&differs, &[0], &format!("bits of {place}+{offset}"))
    }

    /// Two places hold the same number of 64 bits.
    pub fn same(&mut self, one: (&str, u32), other: (&str, u32)) -> &mut Self {
        let load = |this: &mut Self, (place, offset): (&str, u32)| {
            format!("(i64.load (i32.const {}))", this.place(place, 64) + offset)
        };
        let differ = format!("(i64.ne {} {})", load(self, one), load(self, other));
        self.check(&differ, &[0], &format!("{one:?} and {other:?} differ"))
    }

    /// A place begins with these bytes.
    pub fn begins(&mut self, place: &str, wanted: &[u8]) -> &mut Self {
        for (offset, byte) in wanted.iter().enumerate() {
            self.holds(place, u32::try_from(offset).unwrap(), 8, u64::from(*byte));
        }
        self
    }

    /// Makes a place of this size, filled with zeros.
    pub fn room(&mut self, place: &str, bytes: u32) -> &mut Self {
        self.place(place, bytes);
        self
    }

    /// Makes a place that holds this.
    pub fn put(&mut self, place: &str, content: &[u8]) -> &mut Self {
        let at = self.data(content);
        self.places.insert(place.to_owned(), at);
        self
    }

    /// Makes it a command that could also report to the host, which is made a component before it runs.
    pub fn reports(&mut self) -> &mut Self {
        self.reports = true;
        self
    }

    /// The number of calls and checks so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The whole core module.
    pub fn module(&self) -> Vec<u8> {
        let mut text = String::from("(module\n");
        for name in self.used.iter().chain(["fd_write"].iter().filter(|name| !self.used.contains(*name))) {
            let (_, signature) = FUNCTIONS.iter().find(|(known, _)| known == name).unwrap();
            let params: String = signature.chars().map(|kind| if kind == 'I' { " i64" } else { " i32" }).collect();
            writeln!(
                text,
                "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param{params}) (result i32)))"
            )
            .unwrap();
        }
        if self.reports {
            text.push_str("(import \"scenario:host/report@0.1.0\" \"note\" (func (param i32 i32)))\n");
        }
        let end = BASE as usize + self.memory.len();
        let pages = 1 + end.div_ceil(65536);
        let data: String = self.memory.iter().map(|byte| format!("\\{byte:02x}")).collect();
        write!(
            text,
            "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))
             (memory (export \"memory\") {pages})
             (data (i32.const {BASE}) \"{data}\")
             (func $fail (param $at i32) (param $length i32) (param $errno i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (i32.store (i32.const 8) (i32.const 24))
                (i32.store (i32.const 12) (i32.const 5))
                (i32.store8 (i32.const 24) (i32.const 32))
                (i32.store8 (i32.const 25) (i32.add (i32.const 48) (i32.div_u (local.get $errno) (i32.const 100))))
                (i32.store8 (i32.const 26)
                    (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $errno) (i32.const 10)) (i32.const 10))))
                (i32.store8 (i32.const 27) (i32.add (i32.const 48) (i32.rem_u (local.get $errno) (i32.const 10))))
                (i32.store8 (i32.const 28) (i32.const 10))
                (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)))
                (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 32)))
                (call $proc_exit (i32.const 1)))
             (func (export \"_start\") (local $e i32)
             {})",
            self.body
        )
        .unwrap();
        text.push(')');
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn check(&mut self, code: &str, wanted: &[u16], what: &str) -> &mut Self {
        self.steps += 1;
        let message = format!("step {}: {what} (wanted {wanted:?}):", self.steps);
        let (at, length) = (self.data(message.as_bytes()), message.len());
        let right: Vec<String> =
            wanted.iter().map(|errno| format!("(i32.eq (local.get $e) (i32.const {errno}))")).collect();
        let right = right.into_iter().reduce(|one, other| format!("(i32.or {one} {other})")).unwrap();
        writeln!(
            self.body,
            "(local.set $e {code})\n(if (i32.eqz {right}) (then (call $fail (i32.const {at}) (i32.const {length}) \
             (local.get $e))))"
        )
        .unwrap();
        self
    }

    fn values(&mut self, arg: Arg<'_>) -> Vec<Value> {
        let constant = |number: u32| Value::Constant(number.into());
        match arg {
            Arg::N(number) => vec![Value::Constant(number)],
            Arg::Text(text) => self.values(Arg::Raw(text.as_bytes())),
            Arg::Raw(bytes) => vec![constant(self.data(bytes)), Value::Constant(bytes.len() as u64)],
            Arg::Out(place) => vec![constant(self.place(place, 64))],
            Arg::Fd(place) => vec![Value::Code(format!("(i32.load (i32.const {}))", self.place(place, 64)))],
            Arg::Wide(place, offset) => {
                let at = self.place(place, 64) + offset;
                vec![Value::Code(format!("(i64.load (i32.const {at}))"))]
            }
            Arg::Write(bytes) => self.values(Arg::Writes(&[bytes])),
            Arg::Read(place, size) => self.values(Arg::Reads(place, &[size])),
            Arg::Writes(list) => {
                let list: Vec<_> =
                    list.iter().map(|bytes| (self.data(bytes), bytes.len().try_into().unwrap())).collect();
                self.buffers(&list)
            }
            Arg::Reads(place, sizes) => {
                let mut at = self.place(place, sizes.iter().sum());
                let list: Vec<_> =
                    sizes.iter().map(|size| (at, *size, at += size)).map(|(at, size, ())| (at, size)).collect();
                self.buffers(&list)
            }
        }
    }

    fn buffers(&mut self, list: &[(u32, u32)]) -> Vec<Value> {
        let words: Vec<u8> =
            list.iter().flat_map(|(at, length)| [at.to_le_bytes(), length.to_le_bytes()].concat()).collect();
        vec![Value::Constant(self.data(&words).into()), Value::Constant(list.len() as u64)]
    }

    fn place(&mut self, name: &str, bytes: u32) -> u32 {
        if let Some(at) = self.places.get(name) {
            return *at;
        }
        let at = self.data(&vec![0; bytes.max(64) as usize]);
        self.places.insert(name.to_owned(), at);
        at
    }

    fn data(&mut self, bytes: &[u8]) -> u32 {
        self.memory.resize(self.memory.len().next_multiple_of(8), 0);
        let at = BASE + u32::try_from(self.memory.len()).unwrap();
        self.memory.extend(bytes);
        at
    }
}

enum Value {
    Constant(u64),
    Code(String),
}
