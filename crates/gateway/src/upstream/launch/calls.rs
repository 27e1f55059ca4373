//! Which calls of the system a server may not make: those that reach other processes of the account, keep memory that nobody
//! counts, or go past the fence of folders and ports. All others it may.

use super::plan::Plan;

/// Whether this kernel, and this build, can refuse calls; nothing is refused by asking.
pub(super) fn can_be_refused() -> bool {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    list::KNOWN && actions.split_ascii_whitespace().any(|action| action == "errno")
}

/// Has the kernel refuse them to this process, and to what it starts, for good.
pub(super) fn refuse(plan: &Plan) -> Result<(), String> {
    list::refuse(plan).map_err(|error| format!("calls of the system cannot be refused: {error}"))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod list {
    use std::collections::BTreeMap;

    use libc::c_long;
    use seccompiler::{
        BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp,
        SeccompCondition, SeccompFilter, SeccompRule, apply_filter, sock_filter,
    };

    use super::Plan;

    pub(super) const KNOWN: bool = true;

    /// For each call, in which cases it is refused; in all, if there are none.
    type Calls = BTreeMap<i64, Vec<SeccompRule>>;
    type Built<T> = Result<T, BackendError>;

    /// Which error a call is refused with. Libraries fall back on what they know as "there is no such thing".
    type Refused = BTreeMap<i32, Calls>;

    /// What a server may not do, whatever it is.
    const FORBIDDEN: [c_long; 29] = [
        // Other processes' memory, files and state.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_process_mrelease,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_move_pages,
        libc::SYS_perf_event_open,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_syslog,
        // Names of files that others make, in all of a file system.
        libc::SYS_fanotify_init,
        // Other views of the system.
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_fsopen,
        libc::SYS_fspick,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
        libc::SYS_open_by_handle_at,
        libc::SYS_swapon,
        libc::SYS_quotactl,
        libc::SYS_acct,
    ];

    /// What a server does not have, so that its libraries do without.
    const MISSING: [c_long; 21] = [
        // Memory that stays when the server is gone, and that others of the account find.
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_semctl,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        // Memory that no list of the system shows.
        libc::SYS_memfd_secret,
        // What is done through it is not seen as a call.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        // Whether it makes an account of its own stands in memory; `clone`, which is used instead, says so itself.
        libc::SYS_clone3,
    ];

    /// What names a process by its first argument, where 0 is the one that asks.
    const OF_A_PROCESS: [c_long; 5] = [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_migrate_pages,
    ];
    /// What names a kind of processes by its first argument, and which of them by its second.
    const OF_PROCESSES: [(c_long, u64); 2] = [(libc::SYS_setpriority, 2), (libc::SYS_ioprio_set, 3)];

    /// Families of sockets: those of folders, IPv4, IPv6, and questions to the kernel.
    const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    /// Protocols of IP whose ports are fenced, or that have none.
    const PROTOCOLS: [i32; 5] =
        [libc::IPPROTO_IP, libc::IPPROTO_ICMP, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMPV6];
    /// Kinds of sockets that Landlock does not fence: raw, SCTP's, DCCP's, and others.
    const OTHER_KINDS: [i32; 4] = [libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, 6];
    const KIND: u64 = 0xf;

    /// The calls of the other ABI of x86_64, which has numbers of its own, are marked with this.
    const OTHER_ABI: u32 = 0x4000_0000;

    pub(super) fn refuse(plan: &Plan) -> Result<(), Error> {
        for (error, calls) in refused(plan)? {
            apply_filter(&filter(error, calls)?)?;
        }
        Ok(())
    }

    fn filter(error: i32, calls: Calls) -> Built<BpfProgram> {
        let refusal = |error: i32| SeccompAction::Errno(u32::try_from(error).unwrap_or_default());
        let arch = std::env::consts::ARCH.try_into()?;
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, refusal(error), arch)?;
        let mut program: BpfProgram = filter.try_into()?;
        // The program ends the process for another architecture's calls, loads the number of the call, and goes on from there.
        let start = program.iter().position(|step| *step == NUMBER).map_or(program.len(), |place| place + 1);
        let refused = u32::from(refusal(libc::ENOSYS));
        program.splice(start..start, [step(0x35, 0, 1, OTHER_ABI), step(0x06, 0, 0, refused)]);
        Ok(program)
    }

    /// Loads the number of the call.
    const NUMBER: sock_filter = step(0x20, 0, 0, 0);

    const fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    fn refused(plan: &Plan) -> Built<Refused> {
        let mut refused = Refused::new();
        let mut add = |error: i32, call: c_long, cases: Vec<SeccompRule>| {
            refused.entry(error).or_default().entry(call).or_default().extend(cases);
        };
        FORBIDDEN.iter().for_each(|&call| add(libc::EPERM, call, Vec::new()));
        MISSING.iter().for_each(|&call| add(libc::ENOSYS, call, Vec::new()));
        add(libc::EPERM, libc::SYS_prlimit64, vec![case(&[isnt(0, 0)?])?]);
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            let own_account = number(libc::CLONE_NEWUSER);
            add(libc::EPERM, call, vec![case(&[has(0, own_account, own_account)?])?]);
        }
        // Whoever hides itself would hide the memory that it has in files.
        let hides = case(&[is(0, number(libc::PR_SET_DUMPABLE))?, is(1, 0)?])?;
        add(libc::EPERM, libc::SYS_prctl, vec![hides]);
        // In a view of its own there are no processes of others.
        if plan.bubblewrap.is_none() {
            for call in OF_A_PROCESS {
                add(libc::EPERM, call, vec![case(&[isnt(0, 0)?])?]);
            }
            for (call, user) in OF_PROCESSES {
                add(libc::EPERM, call, vec![case(&[isnt(1, 0)?])?, case(&[is(0, user)?])?]);
            }
        }
        let families = FAMILIES.iter().map(|&family| isnt(0, number(family))).collect::<Built<Vec<_>>>()?;
        add(libc::EAFNOSUPPORT, libc::SYS_socket, vec![case(&families)?]);
        for (error, call, cases) in network(plan)? {
            add(error, call, cases);
        }
        Ok(refused)
    }

    /// What would go past the fence around the ports of TCP.
    fn network(plan: &Plan) -> Built<Vec<(i32, c_long, Vec<SeccompRule>)>> {
        let mut refused = Vec::new();
        let of_ip = [libc::AF_INET, libc::AF_INET6].map(number);
        if !plan.listen {
            // Without a port that was bound before it listens on any.
            refused.push((libc::EPERM, libc::SYS_listen, Vec::new()));
        }
        if !plan.listen || plan.connect.is_some() {
            for family in of_ip {
                let mut other = vec![is(0, family)?];
                for protocol in PROTOCOLS {
                    other.push(isnt(2, number(protocol))?);
                }
                let mut cases = vec![case(&other)?];
                for kind in OTHER_KINDS {
                    cases.push(case(&[is(0, family)?, has(1, KIND, number(kind))?])?);
                }
                refused.push((libc::EPROTONOSUPPORT, libc::SYS_socket, cases));
            }
        }
        if let Some(ports) = &plan.connect {
            // It connects without `connect`.
            let fast = number(libc::MSG_FASTOPEN);
            for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
                refused.push((libc::EOPNOTSUPP, call, vec![case(&[has(flags, fast, fast)?])?]));
            }
            if ports.is_empty() {
                for family in of_ip {
                    let datagrams = case(&[is(0, family)?, has(1, KIND, number(libc::SOCK_DGRAM))?])?;
                    refused.push((libc::EPERM, libc::SYS_socket, vec![datagrams]));
                }
            }
        }
        Ok(refused)
    }

    fn number(flag: i32) -> u64 {
        u64::from(flag.cast_unsigned())
    }

    /// All of these together.
    fn case(conditions: &[SeccompCondition]) -> Built<SeccompRule> {
        SeccompRule::new(conditions.to_vec())
    }

    fn is(argument: u8, value: u64) -> Built<SeccompCondition> {
        SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
    }

    fn isnt(argument: u8, value: u64) -> Built<SeccompCondition> {
        SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, value)
    }

    fn has(argument: u8, mask: u64, value: u64) -> Built<SeccompCondition> {
        SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(mask), value)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod list {
    use super::Plan;

    pub(super) const KNOWN: bool = false;

    pub(super) fn refuse(_: &Plan) -> Result<(), &'static str> {
        Err("not on this architecture")
    }
}
