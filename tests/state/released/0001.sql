BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE dead_letters (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	"key" TEXT NOT NULL, 
	venue TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	ts BIGINT NOT NULL, 
	symbol TEXT NOT NULL, 
	why TEXT NOT NULL, 
	at_ns BIGINT NOT NULL, 
	tries INTEGER NOT NULL, 
	"row" BLOB NOT NULL, 
	UNIQUE ("key")
);
INSERT INTO "dead_letters" VALUES(1,'key 1','idx','ticks',101,4611686018427387904,'BBCA','no such number',5,1,X'00726F77');
CREATE TABLE leases (
	name TEXT NOT NULL, 
	run INTEGER NOT NULL, 
	holder TEXT NOT NULL, 
	expires_ns BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "leases" VALUES('idx/drain',2,'b',9000000000000000000);
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	began_ns BIGINT NOT NULL, 
	ended_ns BIGINT, 
	outcome TEXT NOT NULL, 
	told TEXT NOT NULL
);
INSERT INTO "runs" VALUES(1,'idx/drain','a',1000000000,4000000000,'done','{"days": 2}');
INSERT INTO "runs" VALUES(2,'idx/drain','b',5000000000,NULL,'','{}');
CREATE INDEX runs_by_name ON runs (name, id);
CREATE INDEX dead_letters_by_kind ON dead_letters (venue, kind, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',2);
INSERT INTO "sqlite_sequence" VALUES('dead_letters',1);
COMMIT;
