/* Lets the rig's kernel run on processors whose register state is larger than it knows (AMX).
 *
 * User-Mode Linux sets the floating-point registers of its processes by ptrace, with a buffer as
 * large as those that it was built for; since Linux 5.16 the host refuses any but its own size, and
 * the machine panics: "ptrace set fp regs failed, errno = 14". So the buffer is made as large here:
 * what is beyond UML's stays as it is. Use: cc -shared -fPIC -o wide.so wide_xstate.c -ldl;
 * LD_PRELOAD=wide.so ../shared/camera-rig/run ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

static char whole[1 << 16] __attribute__((aligned(64)));

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(enum __ptrace_request, ...);
    va_list words;
    va_start(words, request);
    pid_t pid = va_arg(words, pid_t);
    void *address = va_arg(words, void *), *data = va_arg(words, void *);
    va_end(words);
    if (!real)
        real = dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE)
        return real(request, pid, address, data);
    struct iovec *given = data, wide = {whole, sizeof whole};
    long failed = real(PTRACE_GETREGSET, pid, address, &wide);
    if (failed || given->iov_len >= wide.iov_len)
        return real(request, pid, address, data);
    memcpy(whole, given->iov_base, given->iov_len);
    return real(PTRACE_SETREGSET, pid, address, &wide);
}
