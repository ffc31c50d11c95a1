/* One voice for several processes: the output of all but process 0 goes to
 * /dev/null, and their failures come to process 0 by agreement. */
#include "cli/team.h"

#include "cli/command.h"

#include <stdio.h>
#include <unistd.h>

apq_status apq_cli_team_open(apq_cli_team *team) {
    *team = (apq_cli_team){.error_fd = -1};
    APQ_TRY(apq_comm_open(&team->comm));
    if (apq_comm_rank(team->comm) > 0) {
        team->error_fd = dup(STDERR_FILENO);
        if (freopen("/dev/null", "w", stdout) == NULL ||
            freopen("/dev/null", "w", stderr) == NULL) {
            APQ_FAIL(APQ_ERR_IO, "/dev/null: cannot open");
        }
    }
    return APQ_OK;
}

/* All processes parse the same words, so wrong usage is known to all. */
static bool is_known_to_all(const apq_comm *comm, int code) {
    return code == APQ_EXIT_OK || code == APQ_EXIT_USAGE ||
           apq_comm_has_agreed(comm);
}

int apq_cli_team_close(apq_cli_team *team, int code) {
    if (team->comm != NULL && !is_known_to_all(team->comm, code)) {
        if (team->error_fd >= 0) {
            (void)dprintf(team->error_fd, "apq: process %d: %s\n",
                          apq_comm_rank(team->comm), apq_error_message());
        }
        apq_comm_abort(team->comm, code);
    }
    (void)fflush(stdout);
    apq_comm_close(team->comm);
    if (team->error_fd >= 0) {
        (void)close(team->error_fd);
    }
    return code;
}
