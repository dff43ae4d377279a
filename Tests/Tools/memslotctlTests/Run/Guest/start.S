# Entry by PVH (32 bits, no paging) and by SIPI (16 bits); both lead to 64-bit C, with memory below
# 5 GiB mapped to itself by large pages.
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start32

    .section .text.start, "ax"
    .code32
    .globl start32
start32:
    cli
    movl $stacks + 16384, %esp
    movl %ebx, start_info
    movl $directories, %eax
    orl $7, %eax
    movl $directory_pointers, %edi
    movl $5, %ecx
1:  movl %eax, (%edi)
    addl $8, %edi
    addl $4096, %eax
    loop 1b
    movl $directory_pointers, %eax
    orl $7, %eax
    movl %eax, top_table
    xorl %ecx, %ecx
2:  movl %ecx, %eax
    shll $21, %eax
    orl $0x87, %eax
    movl %eax, directories(, %ecx, 8)
    movl %ecx, %eax
    shrl $11, %eax
    movl %eax, directories + 4(, %ecx, 8)
    incl %ecx
    cmpl $2560, %ecx
    jb 2b
    # Where a SIPI with vector 8 starts another processor.
    movl $ap16, %esi
    movl $0x8000, %edi
    movl $ap16_end - ap16, %ecx
    rep movsb
    call enable_long_mode
    lgdt gdt_pointer
    ljmp $8, $start64

enable_long_mode:
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $top_table, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    ret

    .code16
ap16:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl 0x8000 + ap_gdt_pointer - ap16
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x18, $ap32
ap_gdt_pointer:
    .word 31
    .long gdt
ap16_end:

    .code32
ap32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %ss
    # Without a stack, so by hand: each processor takes its own below.
    movl $1, %ebx
    lock xaddl %ebx, processors
    movl %ebx, %esp
    incl %esp
    shll $14, %esp
    addl $stacks, %esp
    call enable_long_mode
    ljmp $8, $ap64

    .code64
start64:
    call load_segments
    call boot_processor
1:  hlt
    jmp 1b
ap64:
    call load_segments
    movl %ebx, %edi
    call other_processor
1:  hlt
    jmp 1b
load_segments:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    ret

    .section .data
    .align 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdt_pointer:
    .word 31
    .long gdt
    .globl processors
processors:
    .long 1
    # What PVH passes.
    .globl start_info
start_info:
    .long 0

    .section .bss
    .align 4096
top_table:
    .skip 4096
directory_pointers:
    .skip 4096
directories:
    .skip 5 * 4096
stacks:
    .skip 8 * 16384
