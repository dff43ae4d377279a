// The system calls of KVM as functions, one a request.
//
// Swift imports the structures and plain constants of <linux/kvm.h>, but neither its request
// macros nor the variadic ioctl(2). Each function returns the call's value, or minus errno, read
// before anything else can change it. No decision is taken here.
#ifndef CKVM_H
#define CKVM_H

#include "ckvm_definitions.h"
#include "ckvm_process.h"
#include "ckvm_run.h"
#include "ckvm_system.h"
#include "ckvm_vcpu.h"
#include "ckvm_vm.h"

#endif
