#ifndef APQ_CLI_TEAM_H
#define APQ_CLI_TEAM_H

#include "base/status.h"
#include "comm/comm.h"

/* A command that mpirun started in several processes. */
typedef struct apq_cli_team {
    apq_comm *comm; /* NULL: this process alone */
    int error_fd;   /* standard error as it was, or -1 */
} apq_cli_team;

/* Joins the processes; from here on only process 0 prints. */
APQ_NODISCARD apq_status apq_cli_team_open(apq_cli_team *team);
/* Leaves them with the command's exit code, which is returned. A failure that
 * the others do not know of is printed and ends them. */
int apq_cli_team_close(apq_cli_team *team, int code);

#endif
