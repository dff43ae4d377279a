// What a process may do from now on: no new privileges, files by Landlock, calls by seccomp.
//
// Each function returns 0, or -errno. None of them can be undone.
#ifndef CLINUX_SANDBOX_H
#define CLINUX_SANDBOX_H

// prctl(2), PR_SET_NO_NEW_PRIVS: no program that is executed gains rights. The others need it.
int clinux_no_new_privileges(void);

// landlock(7): begins a set of rules that permits no file and no TCP port. Returns a descriptor;
// -ENOSYS, -EOPNOTSUPP or -EPERM where there is no Landlock.
int clinux_landlock_begin(void);

// What a path is used for.
#define CLINUX_USE_FILES 0   // a directory of files that are read, written, replaced and removed
#define CLINUX_USE_OUTPUT 1  // a directory of files that are created, written, replaced, not read
#define CLINUX_USE_SOCKET 2  // a directory in which a socket is created and removed
#define CLINUX_USE_FILE 3    // a file that is read and written
#define CLINUX_USE_DEVICE 4  // a device that is opened and controlled

// Permits this use of `path`, which must exist.
int clinux_landlock_allow(int rules, const char *path, int use);
// Enforces the rules on the calling thread and its children, and closes them.
int clinux_landlock_enforce(int rules);

// The directory in which a build that measures coverage leaves its counts; NULL in other builds.
// Free it.
char *clinux_coverage_directory(void);

// Which process is filtered.
#define CLINUX_SERVES 0
#define CLINUX_LAUNCHES 1  // starts receivers; has one socket
#define CLINUX_RECEIVES 2  // receives a peer's descriptors, and starts relays
#define CLINUX_RELAYS 3    // passes on what the daemon and a back end send each other

// Whether and how a process is confined; what CLINUX_STRICT forbids ends the process.
#define CLINUX_UNCONFINED 0
#define CLINUX_STANDARD 1
#define CLINUX_STRICT 2

// seccomp(2): all threads may make only the calls that such a process needs. Another one fails with
// EPERM; with `kills` it ends the process. -ENOTSUP where the processor has no list.
int clinux_filter_calls(int process, int kills);

#endif
