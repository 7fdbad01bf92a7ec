#include "textflag.h"

// word sets the bit of the word at an offset that the lowest six bits of CX name, and drops these.
#define word(at) \
	MOVQ at(AX), DX \
	BTSQ CX, DX     \
	MOVQ DX, at(AX) \
	SHRQ $6, CX

// func set(b *Block, spread uint64)
TEXT ·set(SB), NOSPLIT, $0-16
	MOVQ b+0(FP), AX
	MOVQ spread+8(FP), CX
	word(0)
	word(8)
	word(16)
	word(24)
	word(32)
	word(40)
	word(48)
	word(56)
	RET
