"""Articles, and the engine's own tables, are in the second database."""


class Orders:
    def db_for_read(self, model, **hints):
        return "orders" if model._meta.app_label in ("blog", "lockstep") else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "orders") == (app_label in ("blog", "lockstep"))
