/* A program outside the tree: only installed headers and the library. */
#include <apq/apq.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    if (strcmp(apq_status_text(APQ_OK), "success") != 0) {
        return 1;
    }
    return printf("apq %s\n", apq_version()) < 0;
}
