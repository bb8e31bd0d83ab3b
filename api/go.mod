module github.com/lockstep-dev/lockstep/api

go 1.26.0
