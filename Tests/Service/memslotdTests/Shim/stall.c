/* A file system that does not answer: to rename the metrics never returns. */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int rename(const char *from, const char *to)
{
	while (strstr(to, "memslots.prom"))
		sleep(3600);
	return (int)syscall(SYS_rename, from, to);
}
