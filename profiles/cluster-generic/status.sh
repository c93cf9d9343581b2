#!/bin/sh
# What became of a job, by its number: prints running, success or failed. Asks the scheduler that is installed here: LSF
# (bjobs), Grid Engine (qacct) or PBS (qstat, with its job history enabled). As long as it says nothing, a job is running.

if command -v bjobs >/dev/null; then
    case $(bjobs -noheader -o stat "$1") in
        DONE*) echo success ;;
        EXIT*) echo failed ;;
        *) echo running ;;
    esac
elif command -v qacct >/dev/null; then
    qstat -j "$1" >/dev/null 2>&1 && echo running && exit
    case $(qacct -j "$1" 2>/dev/null | awk '$1 == "failed" {f = $2} $1 == "exit_status" {e = $2} END {print f, e}') in
        "0 0") echo success ;;
        " ") echo running ;; # its account is not written yet
        *) echo failed ;;
    esac
else
    case $(qstat -x -f "$1" | awk '$1 == "job_state" {s = $3} $1 == "Exit_status" {e = $3} END {print s, e}') in
        "F 0") echo success ;;
        F*) echo failed ;;
        *) echo running ;;
    esac
fi
