# A boot sector that writes, reads back and compares sectors of its disk through the firmware, without
# end. Round n writes sector 1 + n mod 255, whose 32-bit word i is n + i. After every 4 rounds it
# prints two numbers over the serial line: how many rounds it has done, and how many were wrong. When a
# byte comes it prints them once more, behind END, and stops.
    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    movb %dl, drive
    xorl %ebp, %ebp
round:
    movw $0x1000, %ax
    movw %ax, %es
    xorw %di, %di
    movl %ebp, %eax
    movw $128, %cx
1:  movl %eax, %es:(%di)
    addw $4, %di
    incl %eax
    loop 1b
    movl %ebp, %eax
    xorl %edx, %edx
    movl $255, %ecx
    divl %ecx
    incl %edx
    movl %edx, sector
    movw $0x1000, segment
    movw $0x4300, %ax
    call transfer
    movw $0x2000, segment
    movw $0x4200, %ax
    call transfer
    movw $0x2000, %ax
    movw %ax, %es
    movw $0x1000, %ax
    movw %ax, %ds
    xorw %si, %si
    xorw %di, %di
    movw $128, %cx
    cld
    repe cmpsl
    movw $0, %ax
    movw %ax, %ds
    je 2f
    incl wrong
2:  incl %ebp
    testw $3, %bp
    jnz round
    movw $0x3fd, %dx
    inb %dx, %al
    testb $1, %al
    jnz 3f
    call report
    jmp round
3:  movw $end, %si
4:  lodsb
    call print
    cmpb $' ', %al
    jne 4b
    call report
5:  hlt
    jmp 5b

transfer:
    movw $packet, %si
    movb drive, %dl
    int $0x13
    jnc 6f
    incl wrong
6:  ret

report:
    movl %ebp, %ebx
    call number
    movb $' ', %al
    call print
    movl wrong, %ebx
    call number
    movb $'\n', %al
print:
    pushw %ax
    movw $0x3fd, %dx
7:  inb %dx, %al
    testb $0x20, %al
    jz 7b
    popw %ax
    movw $0x3f8, %dx
    outb %al, %dx
    ret

# Prints EBX in hexadecimal.
number:
    movw $8, %cx
8:  roll $4, %ebx
    movb %bl, %al
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe 9f
    addb $'a' - '9' - 1, %al
9:  call print
    loop 8b
    ret

end:
    .ascii "END "
drive:
    .byte 0
wrong:
    .long 0
packet:
    .byte 16, 0
    .word 1
    .word 0
segment:
    .word 0
sector:
    .quad 0
    .org 510
    .word 0xaa55
