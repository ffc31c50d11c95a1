/* Start of a program on the Cortex-M boards that QEMU emulates: the stack and
 * the entry of the C library, which speaks to the host. A fault stops. */
#include <stdint.h>

extern uint32_t stack_top;
void _start(void);
void stop(void);

void stop(void) {
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)&stack_top, (uintptr_t)_start, (uintptr_t)stop, (uintptr_t)stop,
    (uintptr_t)stop,       (uintptr_t)stop,   (uintptr_t)stop};
