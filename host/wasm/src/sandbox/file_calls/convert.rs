//! The conversions that WASI 0.2 and 0.3 share, whose types are alike.

/// Adds the conversions for the imported types of one version; `$unknown` is the type of anything without one.
macro_rules! conversions {
    ($unknown:expr) => {
        fn time(time: NewTimestamp) -> Result<Option<SystemTime>, Errno> {
            match time {
                NewTimestamp::NoChange => Ok(None),
                NewTimestamp::Now => Ok(Some(SystemTime::now())),
                NewTimestamp::Timestamp(time) => system_time(time.seconds.into(), time.nanoseconds).map(Some),
            }
        }

        fn times(read: NewTimestamp, modified: NewTimestamp) -> Result<Times, Errno> {
            Ok(Times { read: time(read)?, modified: time(modified)? })
        }

        /// The type as wasmtime reports it elsewhere.
        fn descriptor_type(kind: FileType) -> DescriptorType {
            match kind {
                FileType::RegularFile => DescriptorType::RegularFile,
                FileType::Directory => DescriptorType::Directory,
                FileType::Symlink => DescriptorType::SymbolicLink,
                FileType::BlockDevice => DescriptorType::BlockDevice,
                FileType::CharacterDevice => DescriptorType::CharacterDevice,
                _ => $unknown,
            }
        }

        fn open_options(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> OpenOptions {
            let synchronized = DescriptorFlags::FILE_INTEGRITY_SYNC
                | DescriptorFlags::DATA_INTEGRITY_SYNC
                | DescriptorFlags::REQUESTED_WRITE_SYNC;
            OpenOptions {
                follow: path.contains(PathFlags::SYMLINK_FOLLOW),
                create: open.contains(OpenFlags::CREATE),
                exclusive: open.contains(OpenFlags::EXCLUSIVE),
                truncate: open.contains(OpenFlags::TRUNCATE),
                directory: open.contains(OpenFlags::DIRECTORY),
                read: flags.contains(DescriptorFlags::READ),
                write: flags.contains(DescriptorFlags::WRITE),
                synchronized: flags.intersects(synchronized),
            }
        }
    };
}
